//! `registries.conf`: what names mean, and who is asked.
//!
//! For any bytes: an error is a line that names the file; what is ignored is told with its line,
//! and the same again. For accepted input: a name leads to registries with names, or that is an
//! error; a tag and a digest stay with the name.

use std::cell::RefCell;

use cvbake_fetch::{Event, Name, Registries, RegistriesFiles};

use crate::{file, line};

/// Names of every kind.
const NAMES: [&str; 6] = [
    "alpine",
    "team/image:1.2",
    "docker.io/library/alpine:3",
    "localhost:5000/x",
    "a.b.example/c/d:tag",
    "a.b.example/c/d@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
];

/// Loads a file, and asks it about names.
pub fn check(input: &[u8]) {
    let file = file(input);
    let files = RegistriesFiles { given: Some(file.path().to_owned()), ..RegistriesFiles::default() };
    let lines = input.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let ignored = RefCell::new(Vec::new());
    let on = |event: Event| {
        if let Event::Ignored { line, problem, .. } = event {
            assert!((1..=lines).contains(&line) && !problem.is_empty(), "line {line} of {lines}: {problem}");
            ignored.borrow_mut().push((line, problem));
        }
    };
    let all = match Registries::load(&files, &on) {
        Ok(all) => all,
        Err(error) => {
            let text = line(&error);
            assert!(text.contains(&*file.path().to_string_lossy()), "{text}");
            return;
        }
    };
    let first = ignored.take();
    assert_eq!(Registries::load(&files, &on).expect("again"), all);
    assert_eq!(ignored.take(), first);
    for name in NAMES.map(|name| Name::new(name).expect("a name")) {
        let references = match all.resolve(&name) {
            Ok(references) => references,
            Err(error) => {
                line(&error);
                continue;
            }
        };
        assert!(!references.is_empty(), "a name stands for one at least");
        for reference in references {
            assert_eq!(reference.digest(), name.digest());
            assert!(name.tag().is_none() || reference.tag() == name.tag());
            match all.plan(&reference) {
                Ok(endpoints) => {
                    assert!(!endpoints.is_empty(), "somebody has to be asked");
                    for endpoint in endpoints {
                        assert!(!endpoint.registry.is_empty() && !endpoint.repository.is_empty(), "{endpoint:?}");
                        assert!(!endpoint.registry.contains(['/', '@', '*']), "{endpoint:?}");
                        assert_eq!(endpoint.tag.is_none(), reference.digest().is_some(), "{endpoint:?}");
                    }
                }
                Err(problem) => {
                    line(&problem);
                }
            }
        }
    }
}
