//! The secret that callers of the HTTP server share with the worker.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use subtle::ConstantTimeEq;

/// A secret that is compared in constant time and never printed.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// Creates a token from the text that callers send. `None` if the text is blank.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// Whether it is the bearer token of a request.
    pub(crate) fn is_bearer_in(&self, headers: &HeaderMap) -> bool {
        credentials(headers, b"bearer ").is_some_and(|token| self.is(token))
    }

    /// Whether it is the password of a request with Basic authentication. The user name may be any.
    pub(crate) fn is_password_in(&self, headers: &HeaderMap) -> bool {
        let decoded =
            credentials(headers, b"basic ").and_then(|text| BASE64_STANDARD.decode(text).ok());
        decoded.is_some_and(|decoded| {
            let colon = decoded.iter().position(|byte| *byte == b':');
            colon.is_some_and(|colon| self.is(&decoded[colon + 1..]))
        })
    }

    fn is(&self, shown: &[u8]) -> bool {
        shown.ct_eq(self.0.as_bytes()).into()
    }
}

/// What follows the scheme in the header `Authorization`.
fn credentials<'h>(headers: &'h HeaderMap, scheme: &[u8]) -> Option<&'h [u8]> {
    let shown = headers.get(AUTHORIZATION)?.as_bytes();
    let (own, rest) = shown.split_at_checked(scheme.len())?;
    own.eq_ignore_ascii_case(scheme).then_some(rest)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap())])
    }

    #[test]
    fn a_token_is_shown_as_bearer_or_as_password() {
        let token = Token::new(" s3cr:et \n").unwrap();
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        for (authorization, is_bearer, is_password) in [
            ("Bearer s3cr:et".to_owned(), true, false),
            ("bearer s3cr:et".to_owned(), true, false),
            ("Bearer s3cr:e".to_owned(), false, false),
            ("Bearer s3cr:et2".to_owned(), false, false),
            ("Bearer".to_owned(), false, false),
            ("s3cr:et".to_owned(), false, false),
            (basic("anybody:s3cr:et"), false, true),
            (basic(":s3cr:et").replace("Basic", "bASIC"), false, true),
            (basic("s3cr:et"), false, false),
            (basic("s3cr:et:"), false, false),
            (basic("a:S3CR:ET"), false, false),
            (basic("a:\0s3cr:et"), false, false),
            ("Basic !!!".to_owned(), false, false),
            ("Basic ".to_owned(), false, false),
        ] {
            let headers = headers(&authorization);
            assert_eq!(token.is_bearer_in(&headers), is_bearer, "{authorization}");
            assert_eq!(
                token.is_password_in(&headers),
                is_password,
                "{authorization}"
            );
        }
        assert!(!token.is_bearer_in(&HeaderMap::new()) && !token.is_password_in(&HeaderMap::new()));
        assert!(Token::new(" \t").is_none());
    }
}
