//! What becomes of targets, places and cookies, without any socket.

use super::*;
use proptest::prelude::*;

fn path() -> ContextPath {
    ContextPath::new("/t/acme/shop").unwrap()
}

fn inward(target: &str) -> Result<String, NoWayIn> {
    let context = Context {
        path: &path(),
        host: "shop.example:8080",
    };
    context
        .inward(&target.parse().unwrap())
        .map(|uri| uri.to_string())
}

/// What the client gets to see of one header.
fn outward(name: HeaderName, value: &str) -> String {
    let mut headers = HeaderMap::new();
    headers.insert(&name, value.parse().unwrap());
    let context = Context {
        path: &path(),
        host: "Shop.example:8080",
    };
    context.outward(&mut headers);
    headers[&name].to_str().unwrap().to_owned()
}

#[test]
fn the_path_is_put_in_front_and_the_query_stays() {
    for (target, is) in [
        ("/", "/t/acme/shop/"),
        ("/cart?a=/../b", "/t/acme/shop/cart?a=/../b"),
        ("/a//b", "/t/acme/shop/a//b"),
        ("/...", "/t/acme/shop/..."),
        ("/.well-known/x..y", "/t/acme/shop/.well-known/x..y"),
        ("/100%25", "/t/acme/shop/100%25"),
        ("/50%", "/t/acme/shop/50%"),
        ("*", "*"),
    ] {
        assert_eq!(inward(target).as_deref(), Ok(is), "{target}");
    }
}

#[test]
fn no_request_leads_out_of_the_path() {
    for target in [
        "/..",
        "/../other/",
        "/a/../../other",
        "/./a",
        "/%2e%2E/other",
        "/.%2e",
        "/a%2f..%2fb",
        "/..%5cother",
        "/..;/other",
        "/..;x=1",
        "/a/.;/b",
    ] {
        assert_eq!(inward(target), Err(NoWayIn::Step), "{target}");
    }
}

#[test]
fn a_path_that_gets_too_long_is_refused() {
    assert_eq!(inward(&format!("/{}", "x".repeat(65_530))), Err(NoWayIn::TooLong));
}

#[test]
fn places_within_the_path_are_told_as_the_client_sees_them() {
    for (place, is) in [
        ("/t/acme/shop/cart?a=1#b", "/cart?a=1#b"),
        ("/t/acme/shop", "/"),
        ("/t/acme/shop?a", "/?a"),
        ("//shop.example:8080/t/acme/shop/a", "//shop.example:8080/a"),
        (
            "HTTP://SHOP.example:8080/t/acme/shop/",
            "HTTP://SHOP.example:8080/",
        ),
        (
            "https://shop.example:8080/t/acme/shop#x",
            "https://shop.example:8080/#x",
        ),
    ] {
        assert_eq!(outward(header::LOCATION, place), is);
        assert_eq!(outward(header::CONTENT_LOCATION, place), is);
    }
}

#[test]
fn a_port_that_goes_without_saying_makes_no_other_host() {
    let shop = path();
    let seen = |host, place| Context { path: &shop, host }.place(place);
    let is = Some("http://shop.example/a".to_owned());
    assert_eq!(seen("shop.example:80", "http://shop.example/t/acme/shop/a"), is);
    let is = Some("https://shop.example:443/a".to_owned());
    assert_eq!(seen("shop.example", "https://shop.example:443/t/acme/shop/a"), is);
}

#[test]
fn places_elsewhere_stay_as_they_are() {
    for place in [
        "cart",
        "../cart",
        "?a=1",
        "/",
        "/other",
        "/t/acme/shopping",
        "/t/acme",
        "http://other.example/t/acme/shop/a",
        "http://shop.example/t/acme/shop/a",
        "http://shop.example:8080",
        "http://shop.example:8080@evil.example/t/acme/shop/",
        "mailto:/t/acme/shop/",
        "ftp://shop.example:8080/t/acme/shop/",
    ] {
        assert_eq!(outward(header::LOCATION, place), place);
    }
}

#[test]
fn a_place_within_the_path_never_becomes_another_host() {
    for (place, is) in [
        ("/t/acme/shop//evil.example/", "/.//evil.example/"),
        ("/t/acme/shop/\\evil.example", "/./\\evil.example"),
        ("//shop.example:8080/t/acme/shop//a", "//shop.example:8080//a"),
    ] {
        assert_eq!(outward(header::LOCATION, place), is);
    }
}

#[test]
fn cookies_come_back_on_the_paths_that_the_client_sees() {
    for (cookie, is) in [
        ("id=1; Path=/t/acme/shop; Secure", "id=1; Path=/; Secure"),
        ("id=1;path=/t/acme/shop/", "id=1;path=/"),
        (
            "id=1; Path = /t/acme/shop/cart ;HttpOnly",
            "id=1; Path =/cart;HttpOnly",
        ),
        ("id=1; Path=/t/acme", "id=1; Path=/"),
        ("id=1; Path=/t/", "id=1; Path=/"),
    ] {
        assert_eq!(outward(header::SET_COOKIE, cookie), is);
    }
    for cookie in [
        "id=1",
        "Path=/t/acme/shop",
        "id=1; Path=/",
        "id=1; Path=",
        "id=1; Path=/other",
        "id=1; Path=/t/acme/shopping",
        "id=1; Path=t",
        "id=/t/acme/shop; Domain=shop.example",
    ] {
        assert_eq!(outward(header::SET_COOKIE, cookie), cookie);
    }
}

#[test]
fn each_of_several_cookies_is_looked_at() {
    let mut headers = HeaderMap::new();
    for cookie in ["a=1; Path=/t/acme/shop/x", "b=2", "c=\u{e9}; Path=/t/acme/shop"] {
        headers.append(
            header::SET_COOKIE,
            HeaderValue::from_bytes(cookie.as_bytes()).unwrap(),
        );
    }
    let context = Context {
        path: &path(),
        host: "shop.example",
    };
    context.outward(&mut headers);
    let seen: Vec<&[u8]> = headers
        .get_all(header::SET_COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    assert_eq!(
        seen,
        [&b"a=1; Path=/x"[..], b"b=2", "c=\u{e9}; Path=/".as_bytes()]
    );
}

proptest! {
    /// Whatever a member does to the dots: the target is refused, or resolving it stays below the path.
    #[test]
    fn what_gets_in_stays_in(target in "/([a.;]|%2[eEfF]|%5c|/|\\.\\.){0,12}") {
        if let Ok(inside) = inward(&target) {
            let plain = inside.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
            let mut depth = 0_i32;
            for step in plain.split('/').skip(1).map(|step| step.split(';').next().unwrap()) {
                depth += match step { ".." => -1, "." | "" => 0, _ => 1 };
                prop_assert!(depth > 0);
            }
        }
    }

    /// Where a member sends its client, the client gets back to.
    #[test]
    fn out_and_in_again_is_the_same_place(rest in "/([a-z]{1,3}(/[a-z]{0,3}){0,3})?(\\?[a-z=]{0,5})?") {
        let shop = path();
        let context = Context { path: &shop, host: "shop.example" };
        let place = format!("{shop}{rest}");
        let seen = context.place(&place).unwrap();
        prop_assert_eq!(context.inward(&seen.parse().unwrap()).unwrap().to_string(), place);
    }
}
