//! `zmq-zeromq-rs echo PORT | drain PORT COUNT | ask PORT COUNT BYTES | flood PORT COUNT BYTES`:
//! as `libzmq.c` beside it.

use std::time::{Duration, Instant};
use zeromq::{PullSocket, PushSocket, RepSocket, ReqSocket, Socket, SocketRecv, SocketSend};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let words: Vec<String> = std::env::args().collect();
    let address = format!("tcp://127.0.0.1:{}", words[2]);
    let number = |at: usize| words.get(at).map_or(0, |word| word.parse::<usize>().unwrap());
    let (count, bytes) = (number(3), number(4));
    let body = || zeromq::ZmqMessage::from(vec![0x5A; bytes]);
    let mut started = Instant::now();
    match words[1].as_str() {
        "echo" => {
            let mut socket = RepSocket::new();
            socket.bind(&address).await.unwrap();
            println!("ready");
            loop {
                let message = socket.recv().await.unwrap();
                socket.send(message).await.unwrap();
            }
        }
        "drain" => {
            let mut socket = PullSocket::new();
            socket.bind(&address).await.unwrap();
            println!("ready");
            for number in 0..count {
                socket.recv().await.unwrap();
                if number == 0 {
                    started = Instant::now();
                }
            }
        }
        "ask" => {
            let mut socket = ReqSocket::new();
            socket.connect(&address).await.unwrap();
            println!("ready");
            for number in 0..count {
                socket.send(body()).await.unwrap();
                socket.recv().await.unwrap();
                if number == 0 {
                    started = Instant::now();
                }
            }
        }
        "flood" => {
            let mut socket = PushSocket::new();
            socket.connect(&address).await.unwrap();
            println!("ready");
            for _ in 0..count {
                socket.send(body()).await.unwrap();
            }
            // It has no linger: stay until the other side has read.
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        verb => panic!("unknown verb {verb:?}"),
    }
    println!("{:.6}", started.elapsed().as_secs_f64());
}
