//! A lock on an address outlives everything but its time.

use reqwest::Method;
use serde_json::json;
use stack::{Answer, Person, Service, Stack};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn neither_an_emptied_redis_nor_a_restart_lifts_a_lock() {
    let mut stack = Stack::for_a_test().start().await.unwrap();
    let ada = Person::new(stack.addresses(), "ada").await;
    for _ in 0..5 {
        assert_eq!(guess(&ada, "not her password at all").await.status, 401);
    }
    assert_locked(&ada).await;

    empty(&stack.addresses().redis).await;
    assert_locked(&ada).await;
    stack.stop_redis().await.unwrap();
    assert_locked(&ada).await;
    stack.start_redis().await.unwrap();

    stack.start_service(Service::Identity).await.unwrap();
    assert_locked(&ada).await;
    stack.stop().await.unwrap();
}

async fn guess(person: &Person, password: &str) -> Answer {
    let body = json!({ "email": person.email, "password": password });
    let answer = person.identity(Method::POST, "/login", Some(body)).await;
    answer.unwrap()
}

/// The right password is of no use.
async fn assert_locked(person: &Person) {
    let answer = guess(person, &person.password).await;
    let told = (answer.status, answer.text("/code"));
    assert_eq!(told, (429, "too_many_attempts"));
    assert!(answer.headers.contains_key("retry-after"));
}

/// What `redis-cli flushall` does.
async fn empty(redis: &str) {
    let (password, rest) = redis
        .trim_start_matches("redis://:")
        .split_once('@')
        .unwrap();
    let address = rest.split('/').next().unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let commands = format!("AUTH {password}\r\nFLUSHALL\r\n");
    connection.write_all(commands.as_bytes()).await.unwrap();
    let mut answer = [0; 10];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+OK\r\n+OK\r\n");
}
