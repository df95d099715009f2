//! Tests of recipes: their resolution, and the errors of bad ones.

use std::path::Path;
use std::time::Duration;

use nstr_fit::Budget;

use crate::recipe::{Recipe, RecipeError, Run, Selection};
use crate::record::{RunRecord, difference};
use crate::resolved_method::{resolve_methods, warnings};

const BASE: &str = r#"
title = "Sizes"
question = "Which?"
inputs = ["$DATA/a.obj", { path = "b.obj", name = "bee", set = ["sample.near=0.2"], fit = ["--sign=winding"] }]
seeds = [3, 1]
steps = 200
set = ["train.batch=64"]
metrics = ["iou", "-chamfer_l1"]
eval = ["--lattice=64"]

[quick]
seeds = [0]
time = "2s"
inputs = ["bee"]
methods = ["tiny", "tiny beta2=0.9"]
set = ["train.batch=32"]

[[method]]
name = "large"
preset = "sdf"
time = "1m"
parameters = 100_000
fill = ["latent.resolution"]

[[method]]
name = "tiny"
preset = "sdf-tiny"
set = ["train.beta1=0.8"]
reference = true

[[sweep]]
method = "tiny"
key = "train.beta2"
values = [0.9, "0.95"]
"#;

/// A folder with the files that recipes name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    for name in ["data/a.obj", "b.obj"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    folder
}

fn parse(text: &str, quick: bool) -> Result<Recipe, RecipeError> {
    selected(text, quick, &Selection::default())
}

fn selected(text: &str, quick: bool, selection: &Selection) -> Result<Recipe, RecipeError> {
    let folder = folder();
    let data = folder.path().join("data").display().to_string();
    let variable = |name: &str| (name == "DATA").then(|| data.clone());
    crate::parse(text, &folder.path().join("r.toml"), (quick, selection), &variable)
}

#[test]
fn a_recipe_comes_to_methods_inputs_and_runs() {
    let r = parse(BASE, false).unwrap();
    let names: Vec<&str> = r.methods.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["large", "tiny", "tiny beta2=0.9", "tiny beta2=0.95"]);
    assert_eq!((r.reference, r.quick, r.metrics[1].lower, r.metrics[1].name.as_str()), (1, false, true, "chamfer_l1"));
    assert_eq!(r.methods[0].budget, Budget::Time(Duration::from_secs(60)));
    assert_eq!((r.methods[1].budget, r.methods[1].budget.to_string()), (Budget::Steps(200), "200 steps".into()));
    assert_eq!(r.methods[2].overrides.set, ["train.batch=64", "train.beta1=0.8", "train.beta2=0.9"]);
    assert_eq!(r.methods[2].overrides.eval, ["--lattice=64"]);
    assert_eq!(r.inputs.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["a", "bee"]);
    assert!(r.inputs[0].path.ends_with("data/a.obj"));
    let runs = r.runs();
    assert_eq!(runs.len(), 4 * 2 * 2);
    assert_eq!(runs[..2], [Run { input: 0, seed: 3, method: 0 }, Run { input: 0, seed: 3, method: 1 }]);
    assert_eq!(runs[4], Run { input: 0, seed: 1, method: 0 });
    let resolved = resolve_methods(&r).unwrap();
    let large = &resolved[0][1];
    assert!(large.parameters <= 100_000 && large.parameters > 85_000, "{}", large.parameters);
    assert_eq!(large.overrides.last().unwrap(), &format!("latent.resolution={}", large.filled.unwrap()));
    assert_eq!(large.overrides[1], "sample.near=0.2");
    assert!(resolved[1][0].filled.is_none());
}

#[test]
fn quick_shortens_everything() {
    let r = parse(BASE, true).unwrap();
    assert_eq!(r.methods.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["tiny", "tiny beta2=0.9"]);
    assert_eq!((r.seeds.as_slice(), r.reference, r.quick), (&[0][..], 0, true));
    assert!(r.methods.iter().all(|m| m.budget == Budget::Time(Duration::from_secs(2))));
    assert_eq!(r.methods[0].overrides.set.last().unwrap(), "train.batch=32");
    assert_eq!((r.inputs.len(), r.inputs[0].overrides.set.len(), r.inputs[0].name.as_str()), (1, 1, "bee"));
    assert_eq!(r.runs().len(), 2);
}

#[test]
fn a_selection_takes_the_place_of_what_the_recipe_says() {
    let names = |names: &[&str]| Some(names.iter().map(|n| n.to_string()).collect());
    let asked = Selection {
        seeds: Some(vec![7, 8]),
        budget: Some(Budget::Steps(12)),
        inputs: names(&["bee"]),
        methods: names(&["large", "tiny"]),
    };
    for quick in [false, true] {
        let r = selected(BASE, quick, &asked).unwrap();
        assert_eq!((r.seeds.as_slice(), r.quick, r.inputs.len(), r.methods.len()), (&[7, 8][..], quick, 1, 2));
        assert!(r.methods.iter().all(|m| m.budget == Budget::Steps(12)), "{quick}");
        // What only `[quick]` says still holds.
        assert_eq!(r.methods[1].overrides.set.last().unwrap() == "train.batch=32", quick);
    }
    let unknown = Selection { methods: names(&["huge"]), ..Selection::default() };
    assert!(selected(BASE, false, &unknown).unwrap_err().to_string().contains("there are large, tiny"));
    let lost = Selection { inputs: names(&["wasp"]), ..Selection::default() };
    let message = selected(BASE, false, &lost).unwrap_err().to_string();
    assert!(message.contains("wasp") && message.contains("the recipe's inputs are a, bee"), "{message}");
    let nothing = Selection { budget: Some(Budget::Steps(0)), ..Selection::default() };
    let message = selected(BASE, true, &nothing).unwrap_err().to_string();
    assert!(message.contains("--steps: must be above 0"), "{message}");
}

#[test]
fn selected_inputs_keep_their_settings_however_they_are_named() {
    let folder = folder();
    let data = folder.path().join("data");
    for name in ["a.obj", "c.obj"] {
        std::fs::write(data.join(name), "").unwrap();
    }
    // One file three times, under three names; a file that is called like another input; a variable that isn't set.
    let inputs = "[{ path = \"$DATA/a.obj\", name = \"one\", set = [\"train.batch=1\"] }, \
                  { path = \"data/a.obj\", name = \"two\" }, { path = \"data/../data/a.obj\", name = \"three\" }, \
                  { path = \"b.obj\", name = \"c\" }, { path = \"data/c.obj\", name = \"d\" }, \
                  { path = \"$LOST/e.obj\", name = \"e\" }]";
    let text = format!(
        "title = \"t\"\nmetrics = [\"iou\"]\nsteps = 3\ninputs = {inputs}\n[quick]\ninputs = [\"d\", \
         {{ path = \"b.obj\", name = \"short\" }}]\n[[method]]\nname = \"m\"\npreset = \"sdf\"\n\
         [[method]]\nname = \"n\"\npreset = \"sdf\"\n"
    );
    let place = data.display().to_string();
    let variable = |name: &str| (name == "DATA").then(|| place.clone());
    let asked = |quick: bool, names: &[&str]| {
        let inputs = Some(names.iter().map(|n| n.to_string()).collect());
        let selection = Selection { inputs, ..Selection::default() };
        let r = crate::parse(&text, &folder.path().join("r.toml"), (quick, &selection), &variable).unwrap();
        r.inputs.into_iter().map(|i| i.name).collect::<Vec<_>>()
    };
    let all = ["one", "two", "three"];
    assert_eq!(asked(false, &[&format!("{place}/a.obj")]), all, "by the expanded path");
    assert_eq!(asked(false, &["$DATA/a.obj"]), all, "as the recipe writes it");
    assert_eq!(asked(false, &["a"]), all, "by the file's name");
    assert_eq!(asked(false, &["three", "one", "data/a.obj"]), ["three", "one", "two"], "in their order, each once");
    assert_eq!(asked(false, &["c"]), ["c"], "names before file names");
    assert_eq!(asked(false, &["data/c.obj"]), ["d"]);
    assert_eq!(asked(true, &["b.obj"]), ["short"], "`[quick]` first");
    assert_eq!(asked(true, &["two", "c"]), ["two", "c"]);
    std::fs::write(folder.path().join("new.obj"), "").unwrap();
    assert_eq!(asked(false, &["new.obj"]), ["new"]);
}

#[test]
fn a_selection_says_what_it_is_and_keeps_its_runs_apart() {
    let asked = Selection {
        seeds: Some(vec![7, 8]),
        budget: Some(Budget::Time(Duration::from_secs(90))),
        inputs: Some(vec!["bee".into()]),
        methods: Some(vec!["large".into(), "tiny beta2=0.9".into()]),
    };
    let r = selected(BASE, false, &asked).unwrap();
    assert_eq!(
        r.selection.options().join(" "),
        "--seeds 7,8 --time 1m30s --input bee --method large --method \"tiny beta2=0.9\""
    );
    // `tiny` is the recipe's reference.
    let said = warnings(&r, &resolve_methods(&r).unwrap());
    assert!(said.iter().any(|w| w.contains("to `large`") && w.contains("`tiny`")), "{said:?}");
    let place = |r: &Recipe| RunRecord::path(Path::new("f"), r, r.runs()[0]).display().to_string();
    assert_eq!(place(&r), "f/runs-1m-30s/large/bee-7.json");
    let whole = selected(BASE, false, &Selection { budget: None, ..asked }).unwrap();
    assert_eq!(place(&whole), "f/runs/large/bee-7.json");
    assert_eq!(parse(BASE, false).unwrap().left_out, None);
}

#[test]
fn the_older_name_of_a_sweep_is_read() {
    let methods = |text: &str| parse(text, false).unwrap().methods;
    assert_eq!(methods(&BASE.replace("[[sweep]]", "[[vary]]")), methods(BASE));
}

#[test]
fn errors_name_file_field_and_remedy() {
    let changed = |from: &str, to: &str| {
        assert!(BASE.contains(from), "{from}");
        let result = parse(&BASE.replacen(from, to, 1), false).and_then(|r| resolve_methods(&r).map(|_| r));
        let message = result.unwrap_err().to_string();
        assert!(message.contains("r.toml: "), "{message}");
        message
    };
    for (from, to, parts) in [
        ("steps = 200", "stepz = 200", &["line 6", "unknown field `stepz`", "`steps`"][..]),
        ("steps = 200", "steps = -1", &["line 6"]),
        ("steps = 200", "time = \"often\"", &["line 6", "`often`", "40s"]),
        ("steps = 200", "steps = 200\ntime = \"1s\"", &["steps and time exclude each other"]),
        ("steps = 200", "", &["method `tiny`, budget", "give steps or time"]),
        ("steps = 200", "steps = 0", &["above 0"]),
        ("title = \"Sizes\"", "", &["missing field `title`"]),
        ("name = \"bee\"", "nam = \"bee\"", &["line 4", "unknown field `nam`"]),
        ("name = \"bee\"", "name = \"a\"", &["inputs", "`a` is there twice", "{ path, name }"]),
        ("$DATA", "$OTHER", &["$OTHER/a.obj", "$OTHER is not set"]),
        ("steps = 200", "steps = 200\nfit = [\"--x=$OTHER\"]", &["method `large`, fit", "$OTHER is not set"]),
        ("\"b.obj\"", "\"c.obj\"", &["`c.obj`", "neither", "working directory"]),
        ("[3, 1]", "[3, 3]", &["seeds", "`3` is there twice"]),
        ("[3, 1]", "[]", &["seeds", "at least one seed"]),
        ("metrics = [\"iou\", \"-chamfer_l1\"]", "metrics = []", &["metrics", "nstr eval"]),
        ("preset = \"sdf\"\n", "preset = \"sdx\"\n", &["method `large`", "no preset `sdx`"]),
        ("train.beta1=0.8", "bad.key=1", &["method `tiny`", "unknown option `bad.key`"]),
        ("parameters = 100_000", "", &["method `large`, fill", "parameters"]),
        ("parameters = 100_000", "parameters = 100", &["method `large`, fill of latent.resolution", "more than 100"]),
        (
            "reference = true",
            "reference = true\n[[method]]\nname = \"x\"\npreset = \"sdf\"\nreference = true",
            &["both"],
        ),
        ("method = \"tiny\"", "method = \"tin\"", &["sweep of train.beta2", "no method `tin`", "large, tiny"]),
        ("values = [0.9, \"0.95\"]", "values = [0.9, [1]]", &["sweep of train.beta2, values"]),
        ("values = [0.9, \"0.95\"]", "values = [0.9, 0.9]", &["`tiny beta2=0.9` is there twice"]),
        ("values = [0.9, \"0.95\"]", "values = [0.9]\nlabels = [\"a\", \"b\"]", &["one label a value"]),
        (
            "fill = [\"latent.resolution\"]",
            "fill = [\"latent.resolution\"]\nset = [\"resolution=3\"]",
            &["is filled", "`resolution=3`"],
        ),
    ] {
        let message = changed(from, to);
        parts.iter().for_each(|part| assert!(message.contains(part), "{to}: no `{part}` in: {message}"));
    }
    let long = "y".repeat(100_000);
    for (from, to) in [
        ("steps = 200", format!("{long} = 200")),
        ("steps = 200", format!("steps = \"{long}\"")),
        ("steps = 200", format!("time = \"{long}\"")),
        ("\"b.obj\"", format!("\"${long}\"")),
        ("preset = \"sdf\"\n", format!("preset = \"{long}\"\n")),
        ("train.beta1=0.8", format!("{long}=1")),
        ("train.beta1=0.8", format!("train.beta1={long}")),
        ("method = \"tiny\"", format!("method = \"{long}\"")),
    ] {
        let message = changed(from, &to);
        let length = message.chars().count();
        assert!(message.contains("yyyy") && length < 4000, "{from}: {length} characters: {message:.500}");
    }
    let without = BASE.split("[quick]").next().unwrap().to_string() + "[[method]]\nname = \"a\"\npreset = \"sdf\"";
    assert!(parse(&without, true).unwrap_err().to_string().contains("[quick]"));
    assert!(parse(&without, false).is_ok());
    let message = crate::load(Path::new("nowhere.toml"), false, &Selection::default()).unwrap_err().to_string();
    assert!(message.contains("nowhere.toml"), "{message}");
}

#[test]
fn sizes_that_are_not_equal_are_warned_of() {
    let r = parse(&BASE.replace("steps = 200", "steps = 200\nparameters = 5_200"), false).unwrap();
    let said = warnings(&r, &resolve_methods(&r).unwrap());
    assert!(said.iter().any(|w| w.contains("`tiny` has") && w.contains("more than the 5200")), "{said:?}");
}

#[test]
fn fingerprints_say_where_they_differ() {
    let a = serde_json::json!({ "threads": 2, "config": { "train": { "batch": 3 }, "x": [1] } });
    let b = serde_json::json!({ "threads": 2, "config": { "train": { "batch": 4 }, "x": [1] }, "new": 1 });
    assert_eq!(difference(&a, &b), ["config.train.batch", "new"]);
    assert!(difference(&a, &a).is_empty());
}
