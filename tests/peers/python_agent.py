#!/usr/bin/env python3
"""The peer of the bench's footprint: what an agent in Python would be made of.

Load and memory each second (psutil), published over MQTT each five seconds (paho-mqtt), the head of a repository
looked at each fifteen (GitPython). It does nothing else: no hooks, no health, no TLS.
usage: python_agent.py BROKER_PORT REPOSITORY
"""
import json
import sys
import time

import git
import paho.mqtt.client as mqtt
import psutil

port, repository = int(sys.argv[1]), git.Repo(sys.argv[2])
client = mqtt.Client()
client.connect("127.0.0.1", port)
client.loop_start()
beat = 0
while True:
    sample = {"load": psutil.getloadavg(), "memory": psutil.virtual_memory().percent}
    if beat % 5 == 0:
        client.publish("instance/stats", json.dumps(sample))
    if beat % 15 == 0:
        head = repository.head.commit.hexsha
    beat += 1
    time.sleep(1)
