//! The floor under every message: one signature verification and one AES-256-GCM open of 1 KiB, with the very
//! primitives that MLS uses here (suite 7), on as many threads as asked.

use std::hint::black_box;
use std::time::{Duration, Instant};

use mls_rs::{CipherSuite, CipherSuiteProvider, CryptoProvider};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;

/// Messages a second on `threads` threads, measured for at least `time`.
pub fn messages_per_second(threads: usize, time: Duration) -> f64 {
    let rates: Vec<f64> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(move || one_thread(time))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(0.0)).collect()
    });
    rates.iter().sum()
}

fn one_thread(time: Duration) -> f64 {
    let suite = AwsLcCryptoProvider::new().cipher_suite_provider(CipherSuite::P384_AES256).expect("suite 7");
    let (secret, public) = suite.signature_key_generate().expect("key");
    let message = vec![7u8; 1024];
    let signature = suite.sign(&secret, &message).expect("signature");
    let key = [1u8; 32];
    let nonce = [2u8; 12];
    let sealed = suite.aead_seal(&key, &message, None, &nonce).expect("sealed");
    let start = Instant::now();
    let mut done = 0u32;
    while start.elapsed() < time {
        for _ in 0..32 {
            suite.verify(&public, black_box(&signature), black_box(&message)).expect("verified");
            black_box(suite.aead_open(&key, black_box(&sealed), None, &nonce).expect("opened"));
        }
        done += 32;
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}
