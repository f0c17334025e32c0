//! What listens in a running container, as the kernel and a scan see it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use super::guide::BOT;
use crate::support::docker::{Engine, password, world};

/// A port that is filtered answers nothing; on a bridge of this host nothing takes longer.
const ANSWER: Duration = Duration::from_secs(1);

#[test]
fn a_running_container_listens_where_the_manual_says_and_nowhere_else() {
    world(async |engine: &Engine| {
        engine.volume(BOT);
        let bot = engine.run(BOT, &password());
        bot.says("receives").await;
        let address: IpAddr = bot.ip().parse().unwrap();
        let open = |port: &u16| TcpStream::connect_timeout(&SocketAddr::new(address, *port), ANSWER).is_ok();
        assert_eq!((1..=u16::MAX).filter(open).collect::<Vec<_>>(), [7443]);

        let of = |table: &str| {
            std::fs::read_to_string(format!("/proc/{}/net/{table}", bot.inspect("{{.State.Pid}}"))).unwrap()
        };
        let listening: BTreeSet<String> = ["tcp", "tcp6"]
            .iter()
            .flat_map(|table| of(table).lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
            .filter_map(|line| {
                let columns: Vec<&str> = line.split_whitespace().collect();
                // 0A: listens
                (columns[3] == "0A").then(|| columns[1].to_owned())
            })
            .collect();
        // 0.0.0.0:7443 and 127.0.0.1:9464
        assert_eq!(listening, BTreeSet::from(["00000000:1D13".to_owned(), "0100007F:24F8".to_owned()]));
        for table in ["udp", "udp6"] {
            assert_eq!(of(table).lines().count(), 1, "{}", of(table));
        }
        let manual = include_str!("../../docs/install.md");
        assert!(manual.contains("7443") && manual.contains("9464"));
    });
}
