//! Servers that are gone for a while.

use std::sync::{Arc, Mutex};

use super::*;

type Pulled = Result<Vec<u8>, Box<dyn std::error::Error>>;

/// What a pull comes to if, after so many failed attempts, `what` happens.
fn pull_while(server: &Server, what: impl Fn(usize) + Send + Sync) -> (Pulled, Vec<String>) {
    let problems = Mutex::new(Vec::new());
    let on = |event: Event| {
        if let Event::Waiting { problem, .. } = event {
            let mut problems = problems.lock().unwrap();
            problems.push(problem);
            what(problems.len());
        }
    };
    let pulled = pull_telling(&reference(server, "a/b:v1"), &quick(), None, &on);
    (pulled, problems.into_inner().unwrap())
}

#[test]
fn gone_for_a_while_in_mid_blob() {
    let sample = Sample::new(300_000);
    let reset_once = |request: &Request, mut answer: Answer| {
        answer.reset_after = (request.nth == 0).then_some(100_000);
        answer
    };
    let server = sample.layer_server(reset_once);
    let (pulled, problems) = pull_while(&server, |failed| match failed {
        1 => server.door.close(),
        3 => server.door.open(),
        _ => {}
    });
    assert_eq!(pulled.unwrap(), sample.layer);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].contains("lost the connection to 127.0.0.1:"), "{problems:?}");
    assert!(problems[1..].iter().all(|problem| problem.contains("refused")), "{problems:?}");
    let asked = server.requests(&sample.layer_path());
    assert_eq!((asked.len(), asked[1].range()), (2, Some(100_000)));

    // And for good.
    let server = sample.layer_server(reset_once);
    let (pulled, _) = pull_while(&server, |failed| {
        if failed == 1 {
            server.door.close();
        }
    });
    let blob = &sample.layer_path()[6..];
    refused(pulled, &["cannot fetch blob", blob, "gave up after 4 attempts", "cannot reach 127.0.0.1:", "refused"]);
}

#[test]
fn a_token_server_that_is_gone_for_a_while() {
    let sample = Sample::new(1000);
    let tokens = Server::start(|request| Answer::new(200, format!(r#"{{"token":"token-{}"}}"#, request.nth)));
    let (realm, door, path) = (tokens.address, Arc::clone(&tokens.door), sample.layer_path());
    let answers = sample.clone();
    let server = Server::start(move |request| {
        // The first token is good for everything but the layer.
        let layer = request.path.contains(&path);
        let token = if layer { "Bearer token-1" } else { "Bearer token-0" };
        if request.path == "/v2/" || request.header("authorization") == Some(token) {
            return answers.answer(request);
        }
        if layer {
            door.close();
        }
        Answer::new(401, "").with("WWW-Authenticate", format!("Bearer realm=\"http://{realm}/token\""))
    });
    let (pulled, problems) = pull_while(&server, |failed| {
        if failed == 3 {
            tokens.door.open();
        }
    });
    assert_eq!(pulled.unwrap(), sample.layer);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems.iter().all(|problem| problem.contains("refused")), "{problems:?}");
}
