//! What a process of the host, or a page in somebody's browser, can do to the health endpoint.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Requests that are begun and never ended.
pub async fn half_requests(address: &str, requests: usize) -> Vec<TcpStream> {
    let mut begun = Vec::new();
    for _ in 0..requests {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // one that is ended at once is what this is about
        stream.write_all(b"GET /livez HTTP/1.1\r\nX: ").await.ok();
        begun.push(stream);
    }
    begun
}
