//! Recipes as they are written in TOML.

use std::fmt;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::recipe::RunOverrides;

/// Declares a table with the keys `set`, `fit` and `eval` beside its own. (With serde's `flatten` errors would lose their line,
/// and unknown keys would be accepted.)
macro_rules! table_with_overrides {
    ($(#[$attribute:meta])* $name:ident { $($(#[$field_attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$attribute])*
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$field_attribute])* pub $field: $type,)*
            #[serde(default)]
            set: Vec<String>,
            #[serde(default)]
            fit: Vec<String>,
            #[serde(default)]
            eval: Vec<String>,
        }

        impl $name {
            pub fn overrides(&self) -> RunOverrides {
                RunOverrides { set: self.set.clone(), fit: self.fit.clone(), eval: self.eval.clone() }
            }
        }
    };
}

table_with_overrides! {
    /// The whole file.
    RecipeFile {
        title: String,
        #[serde(default)]
        question: String,
        inputs: Vec<InputEntry>,
        #[serde(default = "one_seed")]
        seeds: Vec<u64>,
        steps: Option<u64>,
        time: Option<TimeBudget>,
        metrics: Vec<String>,
        parameters: Option<usize>,
        quick: Option<QuickTable>,
        #[serde(rename = "method")]
        methods: Vec<MethodTable>,
        #[serde(default, rename = "sweep", alias = "vary")]
        sweeps: Vec<SweepTable>,
    }
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

table_with_overrides! {
    /// The table `[quick]`.
    #[derive(Default)]
    QuickTable {
        seeds: Option<Vec<u64>>,
        steps: Option<u64>,
        time: Option<TimeBudget>,
        inputs: Option<Vec<InputEntry>>,
        methods: Option<Vec<String>>,
    }
}

table_with_overrides! {
    /// A table `[[method]]`.
    MethodTable {
        name: String,
        preset: String,
        steps: Option<u64>,
        time: Option<TimeBudget>,
        parameters: Option<usize>,
        #[serde(default)]
        fill: Vec<String>,
        #[serde(default)]
        reference: bool,
    }
}

impl MethodTable {
    /// The method that a sweep makes of this one: with one more override and another name.
    pub fn variant(&self, label: &str, change: String) -> Self {
        Self {
            name: format!("{} {label}", self.name),
            preset: self.preset.clone(),
            set: [self.set.as_slice(), &[change]].concat(),
            fill: self.fill.clone(),
            fit: self.fit.clone(),
            eval: self.eval.clone(),
            reference: false,
            ..*self
        }
    }
}

/// A table `[[sweep]]`: one more method for each value of a key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepTable {
    pub method: String,
    pub key: String,
    pub values: Vec<toml::Value>,
    #[serde(default)]
    pub labels: Vec<String>,
}

/// A duration such as `40s` or `10m`.
#[derive(Clone, Copy)]
pub(crate) struct TimeBudget(pub Duration);

impl<'de> Deserialize<'de> for TimeBudget {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bad = |e| {
            let text = nstr_files::excerpt(&text);
            serde::de::Error::custom(format!("`{text}` is not a duration ({e}); write for example 40s or 10m"))
        };
        humantime::parse_duration(&text).map(TimeBudget).map_err(bad)
    }
}

/// An input: a path, or a table with one.
#[derive(Clone, PartialEq)]
pub(crate) struct InputEntry {
    pub path: String,
    pub name: Option<String>,
    pub overrides: RunOverrides,
}

table_with_overrides! {
    /// An input as a table.
    InputTable {
        path: String,
        name: Option<String>,
    }
}

impl<'de> Deserialize<'de> for InputEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct PathOrTable;
        impl<'de> Visitor<'de> for PathOrTable {
            type Value = InputEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, or a table { path = \"…\", name, set, fit, eval }")
            }
            fn visit_str<E>(self, path: &str) -> Result<InputEntry, E> {
                Ok(InputEntry::at(path))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<InputEntry, A::Error> {
                let table = InputTable::deserialize(MapAccessDeserializer::new(map))?;
                let overrides = table.overrides();
                Ok(InputEntry { path: table.path, name: table.name, overrides })
            }
        }
        from.deserialize_any(PathOrTable)
    }
}

impl InputEntry {
    /// An entry that is only a path.
    pub fn at(path: &str) -> Self {
        Self { path: path.into(), name: None, overrides: RunOverrides::default() }
    }

    /// The path of an entry that says nothing else.
    pub fn bare_path(&self) -> Option<&str> {
        (self.name.is_none() && self.overrides.is_empty()).then_some(&self.path)
    }
}
