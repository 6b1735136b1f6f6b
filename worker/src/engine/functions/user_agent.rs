//! Finds the browser, the operating system and the device in a user agent, by the rules of ua-parser's `regexes.yaml`.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use serde_saphyr::options;
use ua_parser::{Extractor, Regexes, device, os, user_agent};

use super::lookup;

/// The rules of a `regexes.yaml`.
pub(crate) struct UserAgents(Extractor<'static>);

/// The bytes of a user agent that are read. Browsers send some hundred. Each of several hundred rules may have to read all of them, and
/// visitors may send as many as the balancer takes.
const BYTES_MAX: usize = 2048;

/// uap-core's family of a user agent that no rule names.
const OTHER: &str = "Other";

/// A value that a rule finds.
enum Part {
    Browser(fn(user_agent::ValueRef<'_>) -> Option<Cow<'_, str>>),
    System(fn(os::ValueRef<'_>) -> Option<Cow<'_, str>>),
    Device(fn(device::ValueRef<'_>) -> Option<Cow<'_, str>>),
}

/// The values by their paths. The last parts of the paths are uap-core's names.
const PARTS: [(&str, Part); 13] = [
    ("family", Part::Browser(|found| Some(found.family))),
    ("major", Part::Browser(|found| found.major.map(Cow::from))),
    ("minor", Part::Browser(|found| found.minor.map(Cow::from))),
    ("patch", Part::Browser(|found| found.patch.map(Cow::from))),
    (
        "patch_minor",
        Part::Browser(|found| found.patch_minor.map(Cow::from)),
    ),
    ("os.family", Part::System(|found| Some(found.os))),
    ("os.major", Part::System(|found| found.major)),
    ("os.minor", Part::System(|found| found.minor)),
    ("os.patch", Part::System(|found| found.patch)),
    ("os.patch_minor", Part::System(|found| found.patch_minor)),
    ("device.family", Part::Device(|found| Some(found.device))),
    ("device.brand", Part::Device(|found| found.brand)),
    ("device.model", Part::Device(|found| found.model)),
];

impl UserAgents {
    /// Reads and compiles the rules.
    ///
    /// # Errors
    ///
    /// The text is not YAML, or not such rules.
    pub(crate) fn new(yaml: &[u8]) -> Result<Self, String> {
        let options = options! { with_snippet: false };
        let rules: Regexes<'static> = serde_saphyr::from_slice_with_options(yaml, options)
            .map_err(|error| format!("not the YAML of uap-core's regexes.yaml: {error}"))?;
        let compiled = Extractor::try_from(rules);
        Ok(Self(compiled.map_err(|error| error.to_string())?))
    }

    fn find(&self, text: &str, part: &Part) -> Option<String> {
        let text = &text[..text.floor_char_boundary(BYTES_MAX)];
        let found = match part {
            Part::Browser(part) => self.0.ua.extract(text).and_then(part),
            Part::System(part) => self.0.os.extract(text).and_then(part),
            Part::Device(part) => self.0.dev.extract(text).and_then(part),
        };
        found.filter(|found| !found.is_empty()).map(Cow::into_owned)
    }
}

/// The function that returns a value of a user agent.
///
/// # Errors
///
/// If there is no value at this path. The error lists the paths.
pub(crate) fn value(file: &str, agents: &Arc<UserAgents>, path: &str) -> Result<ScalarUDF, String> {
    let Some((path, part)) = PARTS.iter().find(|(other, _)| *other == path) else {
        let paths: Vec<&str> = PARTS.iter().map(|(path, _)| *path).collect();
        return Err(format!(
            "a user agent has no value '{path}': write one of {}",
            paths.join(", ")
        ));
    };
    let agents = Arc::clone(agents);
    let otherwise = path.ends_with("family").then_some(OTHER);
    Ok(lookup::of_texts(file, path, move |text| {
        let found = agents.find(text, part);
        Ok(found.or_else(|| otherwise.map(str::to_owned)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(agents: &UserAgents, text: &str, path: &str) -> Option<String> {
        let (_, part) = PARTS.iter().find(|(other, _)| *other == path).unwrap();
        agents.find(text, part)
    }

    fn rules() -> UserAgents {
        let file = include_bytes!("../../../../tests/user_agents/regexes.yaml");
        UserAgents::new(file).unwrap()
    }

    /// The values by their paths.
    type Values = &'static [(&'static str, Option<&'static str>)];

    // Of uap-core's test_ua.yaml, test_os.yaml and test_device.yaml.
    #[rustfmt::skip]
    const CASES: &[(&str, Values)] = &[
        (
            "Mozilla/5.0 (Linux; Android 4.2; Galaxy Nexus Build/JOP40C) AppleWebKit/535.19 (KHTML, like Gecko) Chrome/18.0.1025.166 \
             Mobile Safari/535.19",
            &[("family", Some("Chrome Mobile")), ("major", Some("18")), ("minor", Some("0")), ("patch", Some("1025")), ("patch_minor", Some("166"))],
        ),
        (
            "Mozilla/5.0 (X11; U; Linux i686; en-US; rv:1.9.1.1pre) Gecko/20090717 Ubuntu/9.04 (jaunty) Shiretoko/3.5.1pre",
            &[("family", Some("Firefox (Shiretoko)")), ("major", Some("3")), ("minor", Some("5")), ("patch", Some("1pre"))],
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/63.0.3239.132 Safari/537.36 \
             SznProhlizec/4.3.0-251281",
            &[("family", Some("Seznam prohlížeč")), ("major", Some("4")), ("patch", Some("0")), ("patch_minor", None)],
        ),
        ("curl/7.29.0", &[("family", Some("curl")), ("major", Some("7")), ("minor", Some("29")), ("patch", Some("0"))]),
        (
            "Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko",
            &[("os.family", Some("Windows")), ("os.major", Some("10")), ("os.minor", None), ("os.patch", None)],
        ),
        (
            "Mozilla/5.0 (iPod; U; CPU iPhone OS 4_3_2 like Mac OS X; en-us) AppleWebKit/533.17.9 (KHTML, like Gecko) Version/5.0.2 \
             Mobile/8H7 Safari/6533.18.5",
            &[("os.family", Some("iOS")), ("os.major", Some("4")), ("os.minor", Some("3")), ("os.patch", Some("2")), ("os.patch_minor", None)],
        ),
        (
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            &[("family", Some("Googlebot")), ("device.family", Some("Spider")), ("device.brand", Some("Spider")), ("device.model", Some("Desktop"))],
        ),
        (
            "Mozilla/5.0 (Linux; Android 4.1.1; SM-L710 Build/JRO03L) AppleWebKit/535.19 (KHTML, like Gecko) Chrome/18.0.1025.166 Mobile \
             Safari/535.19",
            &[("device.family", Some("Samsung SM-L710")), ("device.brand", Some("Samsung")), ("device.model", Some("SM-L710"))],
        ),
    ];

    #[test]
    fn user_agents_are_recognised_as_by_uap_core() {
        let agents = rules();
        for (text, expected) in CASES {
            for (path, expected) in *expected {
                let found = found(&agents, text, path);
                assert_eq!(found.as_deref(), *expected, "{path} of {text}");
            }
        }
        assert_eq!(found(&agents, "", "family"), None);
    }

    #[test]
    fn a_hostile_user_agent_finds_no_long_values() {
        let agents = rules();
        let long = |text: &str| text.repeat(100_000 / text.len());
        let hostile = [
            long("Chrome/"),
            long("SznProhlizec/1."),
            long("; SM-"),
            long("iPhone Version/1."),
            long("a\0"),
            long("\u{fffd}"),
            format!("{}é", "x".repeat(BYTES_MAX - 1)),
        ];
        for text in &hostile {
            for (path, _) in &PARTS {
                let found = found(&agents, text, path);
                assert!(found.is_none_or(|found| found.len() <= BYTES_MAX + 20));
            }
        }
    }

    #[test]
    fn what_is_wrong_with_rules_is_said() {
        let refused = |yaml: &str| UserAgents::new(yaml.as_bytes()).err().unwrap();
        let rules = |browser: &str| {
            format!("user_agent_parsers:\n{browser}\nos_parsers: []\ndevice_parsers: []\n")
        };
        for (yaml, says) in [
            (String::new(), "not the YAML of uap-core"),
            ("a: [".to_owned(), "line 1"),
            (rules("  - family: x"), "line 2"),
            (rules("  - regex: '('"), "unclosed group"),
            (rules("  - regex: 'a(?=b)'"), "look-around"),
            (
                rules("  - regex: 'a'\n    family_replacement: '$1'"),
                "MissingGroup",
            ),
        ] {
            let said = refused(&yaml);
            assert!(said.contains(says), "{yaml}\n{said}");
        }
        // Aliases that would unfold to a billion values.
        let bomb = (1..10).fold("a0: &a0 [x]\n".to_owned(), |yaml, n| {
            let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
            format!("{yaml}a{n}: &a{n} [{aliases}]\n")
        });
        refused(&(bomb + &rules("  - regex: 'a'")));
    }

    #[test]
    fn only_the_paths_of_uap_core_are_known() {
        let agents = Arc::new(rules());
        let said = value("regexes", &agents, "os").unwrap_err();
        assert!(
            said.contains("write one of family, major, minor, patch, patch_minor, os.family"),
            "{said}"
        );
        value("regexes", &agents, "device.model").unwrap();
    }
}
