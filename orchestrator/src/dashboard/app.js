// Draws what /dashboard/stream and /api/events say. Whatever comes from there is text and stays text: it is written
// with textContent only, and figures are checked before they become coordinates.
"use strict";

const MAX_EVENTS = 200;
const SVG = "http://www.w3.org/2000/svg";
const BAD = ["member-failed", "member-ensure-failed", "release-rejected", "member-suspended"];
const GOOD = ["member-activated", "release-accepted", "automation-resumed"];
const NOTABLE = ["cluster-resized", "burst-started", "burst-ending", "burst-ended", "release-proposed",
  "automation-paused", "member-draining", "member-updating"];
const PHASES = ["planned", "ensured", "starting", "active", "suspended", "updating", "draining", "stopping", "ended"];

const byId = (id) => document.getElementById(id);
const list = (value) => (Array.isArray(value) ? value : []);
const figure = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined && text !== null) element.textContent = String(text);
  return element;
}

function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

// --- one member ---------------------------------------------------------------------------------------------------

function short(commit) {
  return typeof commit === "string" ? commit.slice(0, 8) : "no release";
}

function percent(value) {
  const known = figure(value);
  return known === null ? "–" : Math.round(known) + "%";
}

function tile(member) {
  const phase = PHASES.includes(member.phase) ? member.phase : "unknown";
  const box = make("li", "tile " + phase);
  const id = String(member.member);
  const top = make("div", "tile-top");
  top.append(make("span", "tile-id", "#" + id.slice(id.lastIndexOf("-") + 1)), make("span", "tile-phase", member.phase));
  box.append(top);
  const reason = member.reason ? "\n" + member.reason : "";
  box.title = id + " in " + member.networkPartition + "/" + member.partition + reason;
  if (member.kind !== "balancer") box.append(make("div", "tile-release", short(member.release)));
  const rows = [["load", percent(member.loadAverage)], ["memory", percent(member.memoryConsumption)]];
  rows.push(["in flight", figure(member.inFlight) === null ? "–" : member.inFlight]);
  const table = make("dl", "tile-figures");
  for (const [name, value] of rows) {
    const pair = make("div");
    pair.append(make("dt", "", name), make("dd", "", value));
    table.append(pair);
  }
  box.append(table);
  return box;
}

// --- the last five minutes ----------------------------------------------------------------------------------------

function line(points, at, most, className) {
  let path = "";
  let pen = "M";
  const width = 300;
  const step = width / 299;
  const begin = width - (points.length - 1) * step;
  points.forEach((point, index) => {
    const value = figure(list(point)[at]);
    if (value === null) {
      pen = "M";
      return;
    }
    const x = begin + index * step;
    const y = 56 - (value / most) * 52;
    path += pen + x.toFixed(1) + " " + y.toFixed(1);
    pen = "L";
  });
  return svg("path", { d: path, class: className });
}

function highest(points, columns) {
  let most = 1;
  for (const point of points) for (const at of columns) most = Math.max(most, figure(list(point)[at]) ?? 0);
  return most;
}

function chart(history) {
  const points = list(history);
  const box = make("figure", "chart");
  const picture = svg("svg", { viewBox: "0 0 300 58", preserveAspectRatio: "none", role: "img" });
  const flights = highest(points, [0]);
  const members = highest(points, [1, 2]);
  picture.append(svg("line", { x1: 0, y1: 57, x2: 300, y2: 57, class: "axis" }));
  picture.append(line(points, 0, flights, "in-flight"), line(points, 1, members, "required"),
    line(points, 2, members, "active"));
  const last = list(points[points.length - 1]);
  const legend = make("figcaption");
  const names = [["in flight", "in-flight", last[0], flights], ["required", "required", last[1], members],
    ["active", "active", last[2], members]];
  for (const [name, className, now, most] of names) {
    const item = make("span", "legend " + className);
    item.append(make("span", "swatch"), make("span", "", name + " "), make("b", "", figure(now) ?? "–"),
      make("small", "", " of " + most));
    legend.append(item);
  }
  picture.setAttribute("aria-label", "requests in flight, members required and members active, last five minutes");
  box.append(picture, legend);
  return box;
}

// --- clusters and applications --------------------------------------------------------------------------------------

function releaseText(release) {
  if (!release) return "";
  const parts = [];
  if (release.accepted) parts.push("release " + short(release.accepted));
  if (release.proposed) parts.push("bringing " + short(release.proposed));
  if (release.pinned) parts.push("pinned");
  const rejected = list(release.rejected);
  if (rejected.length) parts.push("rejected " + short(rejected[rejected.length - 1].commit));
  return parts.join(" · ");
}

function plain(value) {
  const known = figure(value);
  return known === null ? "–" : String(Math.round(known * 10) / 10);
}

function forecastText(row) {
  return row.factor + ": now " + plain(row.now) + ", predicted " + plain(row.predicted) + ", threshold "
    + plain(row.threshold) + ", asks for " + plain(row.required) + outlookText(row.outlook);
}

function outlookText(outlook) {
  if (!outlook) return "";
  return "; expects " + plain(outlook.expected) + "/s in " + plain(outlook.horizon) + " s by " + outlook.believed
    + " (" + outlook.mood + "), ready for " + plain(outlook.readyFor) + "/s, " + plain(outlook.needed) + " needed, "
    + plain(outlook.wanted) + " wanted with those kept";
}

function decisionOf(cluster) {
  const decision = cluster.decision;
  const box = make("div", "decision");
  if (!decision) {
    box.append(make("p", "", cluster.kind === "balancer" ? "stands in front" : "not looked at yet"));
    return box;
  }
  if (decision.frozen) box.append(make("p", "frozen", "frozen: " + decision.frozen));
  if (decision.factor) box.append(make("p", "target", "wants " + decision.target + " because of " + decision.factor));
  for (const text of [decision.inputs, ...list(decision.forecast).map(forecastText), ...list(decision.notes)]) {
    if (text && text !== decision.frozen) box.append(make("p", "", text));
  }
  return box;
}

function place(one) {
  const row = make("div", "place" + (one.ending ? " ending" : ""));
  const head = make("div", "place-head");
  head.append(make("span", "place-name", one.networkPartition),
    make("span", "place-count", one.active + " of " + one.desired + (one.ending ? ", being emptied" : "")));
  const tiles = make("ul", "tiles");
  for (const member of list(one.members)) tiles.append(tile(member));
  row.append(head, tiles);
  return row;
}

function clusterBox(cluster) {
  const box = make("article", "cluster " + (cluster.kind === "balancer" ? "balancer" : "application"));
  const head = make("div", "cluster-head");
  const name = make("h3", "", cluster.kind === "balancer" ? "balancer" : cluster.alias);
  name.title = String(cluster.cluster);
  head.append(name);
  if (cluster.kind !== "balancer") head.append(make("span", "badge", cluster.cartridge));
  if (figure(cluster.orderedSize) !== null) head.append(make("span", "badge ordered", "size ordered: " + cluster.orderedSize));
  head.append(make("span", "release", releaseText(cluster.release)));
  box.append(head);
  for (const one of list(cluster.places)) box.append(place(one));
  if (cluster.kind !== "balancer") {
    const foot = make("div", "cluster-foot");
    foot.append(chart(cluster.history), decisionOf(cluster));
    box.append(foot);
  }
  return box;
}

function applicationBox(application) {
  const box = make("section", "card");
  const head = make("div", "card-head");
  head.append(make("h2", "", application.id), make("span", "badge " + (application.status === "deployed" ? "good" : ""),
    application.status));
  if (application.policy) head.append(make("span", "muted", "under " + application.policy));
  const points = make("span", "endpoints");
  for (const p of list(application.endpoints)) {
    points.append(make("span", "endpoint", p.networkPartition + " " + p.address + ":" + p.port));
  }
  head.append(points);
  box.append(head);
  const clusters = list(application.clusters);
  const own = clusters.filter((c) => c.kind !== "balancer");
  const balancers = clusters.filter((c) => c.kind === "balancer" && list(c.places).length);
  for (const cluster of own) box.append(clusterBox(cluster));
  if (balancers.length) {
    const row = make("div", "balancers");
    for (const cluster of balancers) row.append(clusterBox(cluster));
    box.append(row);
  }
  if (!clusters.length) box.append(make("p", "muted", "nothing runs"));
  return box;
}

function draw(state) {
  const server = state.server || {};
  const counts = Object.entries(server.members || {}).map(([phase, count]) => count + " " + phase);
  byId("summary").textContent = [
    server.applications + (server.applications === 1 ? " application" : " applications"),
    counts.length ? counts.join(", ") : "no members",
    "epoch " + server.epoch,
    "entry " + server.seq,
  ].join(" · ");
  const banner = byId("banner");
  const paused = server.paused;
  const frozen = list(server.frozen);
  banner.hidden = !paused && !frozen.length;
  banner.className = paused ? "paused" : "frozen";
  banner.textContent = paused
    ? "Automation is paused by " + paused.by + ": " + paused.reason
    : frozen.map((row) => row.cluster + " is frozen: " + row.reason).join("   ");
  const boxes = list(state.applications).map(applicationBox);
  if (!boxes.length) {
    const empty = make("section", "card");
    empty.append(make("h2", "", "No applications yet"), make("p", "muted", "cartridge apply -f FILE adds some."));
    boxes.push(empty);
  }
  byId("applications").replaceChildren(...boxes);
}

// --- the timeline ---------------------------------------------------------------------------------------------------

function tone(kind) {
  if (BAD.includes(kind)) return "bad";
  if (GOOD.includes(kind)) return "good";
  if (NOTABLE.includes(kind)) return "notable";
  return "";
}

let newest = 0;

function tell(event) {
  if (!(event.seq > newest)) return;
  newest = event.seq;
  const row = make("li", tone(event.kind));
  const at = new Date(event.at);
  const time = make("time", "", Number.isNaN(at.getTime()) ? "–" : at.toLocaleTimeString());
  time.dateTime = String(event.at);
  row.append(time, make("span", "", event.text));
  row.title = String(event.kind) + " · entry " + event.seq;
  const timeline = byId("timeline");
  timeline.prepend(row);
  while (timeline.childElementCount > MAX_EVENTS) timeline.lastElementChild.remove();
}

// --- connections ------------------------------------------------------------------------------------------------------

function linkIs(word) {
  const link = byId("link");
  link.textContent = word;
  link.className = "link " + word;
}

function listen(url, each) {
  const source = new EventSource(url);
  source.onmessage = (message) => {
    linkIs("live");
    each(JSON.parse(message.data));
  };
  source.onerror = () => {
    linkIs("lost");
    // The browser tries again by itself, unless the server refused.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(url, each), 3000);
  };
}

// The page brought the state of its moment; the streams take over from there. An event seen twice is told once.
const brought = document.body.dataset;
if (brought.state) draw(JSON.parse(brought.state));
if (brought.events) JSON.parse(brought.events).forEach(tell);

listen("/dashboard/stream", draw);
listen("/api/events?follow=true&limit=" + MAX_EVENTS, tell);
