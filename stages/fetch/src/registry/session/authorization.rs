//! Who we are to a registry: its challenges, and what they are met with.

use std::sync::atomic::Ordering;

use reqwest::header::HeaderValue;

use super::{Connection, Session};
use crate::registry::auth::{Challenge, TokenServer, basic, bearer};
use crate::registry::credentials::Credentials;
use crate::registry::http::{Reply, shown_text};
use crate::registry::problem::Problem;
use crate::registry::retry::Failure;

impl Session<'_> {
    /// Sends something, and once more with fresh authorization if the registry asks for it. `None`
    /// if it can't be sent twice: then there is fresh authorization now.
    pub(super) fn authorized(
        &self,
        send: &mut dyn FnMut(Option<HeaderValue>) -> Option<Result<Reply, Problem>>,
    ) -> Result<Option<Reply>, Failure> {
        let (authorization, generation) = self.authorization();
        let reply = send(authorization).expect("it can be sent once")?;
        self.answered.store(true, Ordering::Relaxed);
        if reply.status() != 401 || !reply.own {
            return Ok(Some(reply));
        }
        let Some(fresh) = self.authorize(&Challenge::from_reply(&reply)?, generation)? else { return Ok(Some(reply)) };
        drop(reply);
        Ok(send(Some(fresh)).transpose()?)
    }

    fn authorization(&self) -> (Option<HeaderValue>, u64) {
        let state = self.state();
        (state.authorization.clone(), state.generation)
    }

    pub(super) fn presented(&self) -> String {
        let state = self.state();
        let credentials = state.credentials.as_ref().and_then(Option::as_ref);
        match (credentials, &state.authorization) {
            (None, Some(_)) => "an anonymous token".to_owned(),
            _ => Credentials::describe(credentials),
        }
    }

    /// Meets a challenge; `None` if there is nothing to meet it with.
    fn authorize(&self, challenge: &Challenge, generation: u64) -> Result<Option<HeaderValue>, Problem> {
        // One thread does it; the others wait, and find it done.
        let state = &mut *self.state();
        if state.generation != generation {
            return Ok(state.authorization.clone());
        }
        let Some(Connection { http, base }) = state.connection.clone() else { return Ok(None) };
        if state.credentials.is_none() {
            let found = match &self.options.credentials {
                Some(given) => Some(given.clone()),
                None => Credentials::find(&self.options, &self.endpoint.registry, &self.endpoint.repository)?,
            };
            if self.options.credentials.is_some() {
                tracing::debug!("{}: using the credentials that were given", self.host());
            } else if found.is_none() {
                tracing::debug!("{}: there are no credentials for it", self.host());
            }
            state.credentials = Some(found);
        }
        let credentials = state.credentials.as_ref().and_then(Option::as_ref);
        let fresh = match (challenge, credentials) {
            (_, Some(Credentials::Registry(token))) => bearer(token)?,
            (Challenge::Basic, Some(Credentials::User { name, password })) => basic(name, password)?,
            (Challenge::Basic, _) => return Ok(None),
            (Challenge::Bearer { realm, service }, credentials) => {
                let (registry, options, service, on) = (&base, &self.options, service.as_deref(), self.on);
                // Who has given a token before.
                let known = state.generation > 0;
                let server = |scopes| TokenServer { http: &http, options, registry, scopes, realm, service, on, known };
                match server(&self.scopes).token(credentials) {
                    // Some want to know nothing of repositories that one can't read.
                    Err(problem) if problem.is_denied() && self.scopes.len() > 1 => {
                        server(&self.scopes[..1]).token(credentials)?
                    }
                    token => token?,
                }
            }
        };
        match challenge {
            Challenge::Basic => tracing::debug!("{} wants a password", self.host()),
            Challenge::Bearer { realm, .. } => {
                tracing::debug!("{} wants a token, which {} gives", self.host(), shown_text(realm));
            }
        }
        // The same again would be refused again.
        if state.authorization.as_ref() == Some(&fresh) {
            return Ok(None);
        }
        state.authorization = Some(fresh.clone());
        state.generation += 1;
        Ok(Some(fresh))
    }

    /// Whether the registry wanted to know who we are, and was told.
    pub(in crate::registry) fn is_authorized(&self) -> bool {
        self.authorization().0.is_some()
    }

    /// Nobody may with what is presented.
    pub(in crate::registry) fn denied(&self, status: u16, message: String) -> Problem {
        Problem::Denied { status, with: self.presented(), message }
    }
}
