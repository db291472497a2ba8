//! What passes through a tunnel.

use irp_testkit::origin::{Echoed, Origin};

use crate::stage::Stage;

#[tokio::test]
async fn a_request_reaches_the_program_and_its_answer_comes_back() {
    let origin = Origin::start();
    let stage = Stage::new().await;
    let client = stage.client(&origin.address().to_string()).await;
    let reply = stage.curl().args(["--data", "hello"]).get(&stage.url("/a/b?c=d")).await.unwrap();
    let echoed: Echoed = reply.json();
    assert_eq!((echoed.method.as_str(), echoed.path.as_str()), ("POST", "/a/b"));
    assert_eq!(echoed.values("x-forwarded-proto"), ["https"]);
    assert_eq!(echoed.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(echoed.values("host"), [format!("alice.localhost:{}", stage.address.port())]);
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn a_name_without_a_tunnel_holds_a_request_until_the_tunnel_comes() {
    let origin = Origin::start();
    let stage = Stage::new().await;
    let url = stage.url("/held");
    let curl = stage.curl();
    let (held, client) = tokio::join!(curl.get(&url), async {
        let door = stage.door();
        // A second visitor's connection shows that the edge is up while the first one waits.
        let _wire = door.connect().await.unwrap();
        stage.client(&origin.address().to_string()).await
    });
    assert_eq!(held.unwrap().status, 200);
    client.stop().await.unwrap();
    stage.stop().await;
}
