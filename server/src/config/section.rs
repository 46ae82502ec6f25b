//! The form in which a section of settings is declared, and what follows from a declaration:
//! the struct, its defaults, its check and its documentation.

use super::problem::Problems;

/// Declares a section: `pub struct Name { settings } with { sections inside of it }`.
///
/// A setting is `name: Type = default`, where the type has a
/// [`SettingValue`](super::value::SettingValue), with these after it, in this order, each
/// optional:
/// - `in least..=greatest`: the bounds, for a [`Bounded`](super::value::Bounded) type;
/// - `such as "…"`: what the example file shows of a setting that has no default;
/// - `must "be …" => |section| …`: a rule that the section must fulfil, as often as needed. The
///   text is the end of a sentence that begins with the setting's name.
///
/// The comment above a setting is one paragraph for operators too: it goes into the example file,
/// with the bounds and the rules behind it, which it need not repeat. It names the unit where the
/// type does not.
macro_rules! section {
    (
        $(#[doc = $about:expr])*
        pub struct $Section:ident {
            $(
                $(#[doc = $doc:expr])*
                $setting:ident: $Type:ty = $default:expr
                $(, in $bounds:expr)?
                $(, such as $example:expr)?
                $(, must $rule:expr => $holds:expr)*
                ;
            )*
        }
        $(with { $($inner:ident: $Inner:ty,)* })?
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $Section {
            $(
                $(#[doc = $doc])*
                #[doc = ""]
                #[doc = concat!("Default: `", stringify!($default), "`.")]
                $(#[doc = concat!("Bounds: `", stringify!($bounds), "`.")])?
                #[serde(with = "crate::config::value")]
                pub $setting: $Type,
            )*
            $($(
                #[doc = concat!("The section `", stringify!($inner), "`.")]
                pub $inner: $Inner,
            )*)?
        }

        impl Default for $Section {
            fn default() -> Self {
                Self {
                    $($setting: $default,)*
                    $($($inner: Default::default(),)*)?
                }
            }
        }

        impl $crate::config::section::Section for $Section {
            fn check(&self, path: &str, problems: &mut $crate::config::problem::Problems) {
                let name = |inner: &str| $crate::config::section::join(path, inner);
                // Where there is nothing to check.
                let _ = (&name, &problems);
                $(
                    $($crate::config::value::Bounded::check(
                        &self.$setting,
                        &name(stringify!($setting)),
                        &($bounds),
                        problems,
                    );)?
                    $(
                        let holds: fn(&Self) -> bool = $holds;
                        if !holds(self) {
                            problems.add(name(stringify!($setting)), format!("must {}", $rule));
                        }
                    )*
                )*
                $($(
                    self.$inner.check(&name(stringify!($inner)), problems);
                )*)?
            }

            fn describe(path: &str, sections: &mut Vec<$crate::config::section::SectionInfo>) {
                use $crate::config::{section, value};
                let defaults = Self::default();
                let settings = vec![$(
                    section::SettingInfo {
                        name: section::join(path, stringify!($setting)),
                        about: section::paragraph(&[$($doc),*]),
                        bounds: [$(<$Type as value::Bounded>::show_bounds(&($bounds)))?].into_iter().next(),
                        rules: vec![$($rule),*],
                        default: value::to_toml(&defaults.$setting),
                        example: [$($example)?].into_iter().next(),
                    },
                )*];
                sections.push(section::SectionInfo {
                    path: path.to_owned(),
                    about: section::paragraph(&[$($about),*]),
                    settings,
                });
                $($(
                    <$Inner>::describe(&section::join(path, stringify!($inner)), sections);
                )*)?
            }
        }
    };
}

pub(super) use section;

/// A part of the configuration that [`section!`] declares.
pub(super) trait Section {
    /// Adds every broken bound and rule of the section at `path` and of those inside of it.
    fn check(&self, path: &str, problems: &mut Problems);

    /// Adds what is declared of the section at `path`, and then of those inside of it.
    fn describe(path: &str, sections: &mut Vec<SectionInfo>);
}

/// What is declared of a section.
#[derive(Clone, Debug)]
pub struct SectionInfo {
    /// Its dotted name; empty for the settings outside of any.
    pub path: String,
    /// What it is for, in one paragraph.
    pub about: String,
    /// Its settings, in the order of their declaration.
    pub settings: Vec<SettingInfo>,
}

/// What is declared of a setting.
#[derive(Clone, Debug)]
pub struct SettingInfo {
    /// Its dotted name, with that of its section.
    pub name: String,
    /// What it is for, in one paragraph.
    pub about: String,
    /// "From 1s to 10m".
    pub bounds: Option<String>,
    /// What it must fulfil besides: the ends of sentences that begin with "must".
    pub rules: Vec<&'static str>,
    /// The default as TOML; `None` where nothing is set without it.
    pub default: Option<String>,
    /// A text that it may be set to.
    pub example: Option<&'static str>,
}

/// The dotted name of what is inside of `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        return name.to_owned();
    }
    format!("{path}.{name}")
}

/// The lines of a comment as one line.
pub(super) fn paragraph(lines: &[&str]) -> String {
    let words: Vec<&str> = lines
        .iter()
        .flat_map(|line| line.split_whitespace())
        .collect();
    words.join(" ")
}
