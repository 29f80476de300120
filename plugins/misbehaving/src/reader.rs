//! Readers that answer wrongly, too much, too late, or not at all. Refuses to touch processes and files.

use std::io::Write;
use std::time::Duration;

use super::Mode;

pub(crate) const MODES: &[Mode] = &[
    ("well", |talk| talk.go_on(|_| false)),
    ("never-describes", |talk| while talk.next().is_some() {}),
    ("never-answers", |talk| talk.go_on(|_| true)),
    ("deaf", |talk| {
        talk.describe("reader");
        talk.hang();
    }),
    ("floods-stdout", |talk| {
        talk.describe("reader");
        loop {
            talk.say_bytes(&[b'x'; 65_536]);
        }
    }),
    ("floods-with-lines", |talk| {
        loop {
            talk.say_bytes(&b"noise\n".repeat(8_192));
        }
    }),
    ("floods-an-answer", |talk| {
        talk.go_on(|asked| {
            talk.say_bytes(format!("{{\"id\":{},\"error\":\"", asked.id).as_bytes());
            loop {
                talk.say_bytes(&[b'x'; 65_536]);
            }
        });
    }),
    ("floods-stderr", |talk| {
        talk.describe("reader");
        let mut words = std::io::stderr().lock();
        while words.write_all(&b"why oh why\n".repeat(4_096)).is_ok() {}
        talk.hang();
    }),
    ("mutters", |talk| {
        (0..1_000).for_each(|n| eprintln!("muttering {n}"));
        talk.go_on(|_| false);
    }),
    ("huge-answer", |talk| {
        talk.go_on(|asked| {
            talk.say_bytes(format!("{{\"id\":{},\"error\":\"", asked.id).as_bytes());
            (0..1_600).for_each(|_| talk.say_bytes(&[b'x'; 65_536]));
            talk.say("\"}");
            true
        });
    }),
    ("answers-another-question", |talk| {
        talk.go_on(|asked| {
            talk.ok(asked.id + 41, "{\"measured\":{}}");
            true
        });
    }),
    ("answers-the-question-before", |talk| {
        talk.go_on(|asked| {
            talk.ok(asked.id - 1, "{\"measured\":{}}");
            true
        });
    }),
    ("answers-twice", |talk| {
        talk.go_on(|asked| {
            talk.ok(asked.id, "{\"measured\":{}}");
            talk.ok(asked.id, "{\"measured\":{}}");
            true
        });
    }),
    ("speaks-unasked", |talk| {
        talk.describe("reader");
        talk.say("{\"id\":999,\"ok\":{\"measured\":{}}}");
        talk.hang();
    }),
    ("invalid-utf8", |talk| {
        talk.go_on(|_| {
            talk.say_bytes(b"\xff\xfe\xc3\x28\n");
            true
        });
    }),
    ("invalid-json", |talk| {
        talk.go_on(|_| {
            talk.say("{\"id\":2,\"ok\":}");
            true
        });
    }),
    ("deep-nesting", |talk| {
        talk.go_on(|asked| {
            talk.ok(
                asked.id,
                &format!("{{\"measured\":{{\"figures\":{}", "[".repeat(50_000)),
            );
            true
        });
    }),
    ("drips", |talk| {
        talk.go_on(|asked| {
            let answer = format!(
                "{{\"id\":{},\"error\":\"{}\"}}\n",
                asked.id,
                "slow ".repeat(10_000)
            );
            for byte in answer.bytes() {
                talk.say_bytes(&[byte]);
                std::thread::park_timeout(Duration::from_millis(50));
            }
            true
        });
    }),
    ("another-version", |talk| {
        while let Some(asked) = talk.next() {
            talk.describe_as(asked.id, 9, "reader");
        }
    }),
    ("unknown-kind", |talk| {
        talk.describe("hook");
        talk.hang();
    }),
    ("another-kind", |talk| {
        talk.describe("balancer");
        talk.hang();
    }),
    ("another-answer", |talk| {
        talk.go_on(|asked| {
            talk.ok(
                asked.id,
                &format!("{{\"looked\":{{\"revision\":\"{}\"}}}}", "a".repeat(40)),
            );
            true
        });
    }),
    ("impossible-figures", |talk| {
        talk.go_on(|asked| {
            talk.ok(
                asked.id,
                "{\"measured\":{\"load\":[-1,1e308,0],\"cpu_percent\":-5,\"in_flight\":1e300,\"memory_limit\":0,\"memory_used\":18446744073709551615,\"figures\":{\"../../x\":1}}}",
            );
            true
        });
    }),
    ("figures-beyond-numbers", |talk| {
        talk.go_on(|asked| {
            talk.ok(asked.id, "{\"measured\":{\"in_flight\":1e999}}");
            true
        });
    }),
    ("too-many-figures", |talk| {
        talk.go_on(|asked| {
            let figures: Vec<String> = (0..2_000).map(|n| format!("\"f{n}\":{n}")).collect();
            talk.ok(
                asked.id,
                &format!("{{\"measured\":{{\"figures\":{{{}}}}}}}", figures.join(",")),
            );
            true
        });
    }),
    ("refuses", |talk| {
        talk.go_on(|asked| {
            talk.say(&format!(
                "{{\"id\":{},\"error\":\"\\u001b[31mno\\u0000{}\"}}",
                asked.id,
                "x".repeat(60_000)
            ));
            true
        });
    }),
    ("refuses-to-describe", |talk| {
        while let Some(asked) = talk.next() {
            talk.say(&format!("{{\"id\":{},\"error\":\"not today\"}}", asked.id));
        }
    }),
    ("both-good-and-bad", |talk| {
        talk.go_on(|asked| {
            talk.say(&format!(
                "{{\"id\":{},\"ok\":{{\"measured\":{{}}}},\"error\":\"x\"}}",
                asked.id
            ));
            true
        });
    }),
];
