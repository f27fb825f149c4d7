//! Lists of layers as models: gradients, shapes layer by layer, and what is refused.

use rand::SeedableRng;

use super::super::gradient_check::{assert_model_gradient, random_batch};
use super::super::{CnnByzfl, TwoNn, build};
use super::*;
use crate::random::Stream;

/// The layers of a model in TOML.
fn read(toml: &str) -> Result<Vec<Layer>, String> {
    let layers: Result<Layers, _> = toml::from_str(toml);
    layers.map(|it| it.layers).map_err(|error: toml::de::Error| error.message().to_owned())
}

fn layers(list: &str) -> Vec<Layer> {
    read(&format!("layers = [{list}]")).unwrap()
}

fn refused(list: &str, shape: &[usize]) -> String {
    build(&Layers { layers: layers(list) }, shape, 3).err().unwrap().to_string()
}

const PICTURES: &str = r#"
    { kind = "conv2d", channels = 4, padding = 1 }, { kind = "relu" }, { kind = "max-pool", size = 2 },
    { kind = "conv2d", channels = 4, kernel = 2, stride = 2, bias = false }, { kind = "batch-norm" }, { kind = "gelu" },
    { kind = "residual", layers = [
        { kind = "conv2d", channels = 6, padding = 1, stride = 2 }, { kind = "group-norm", groups = 3 },
        { kind = "tanh" },
        { kind = "residual", layers = [{ kind = "conv2d", channels = 6, padding = 1, bias = false }, { kind = "batch-norm" }] },
    ] },
    { kind = "avg-pool", size = 2, stride = 1 }, { kind = "flatten" }, { kind = "dense", units = 7 }, { kind = "tanh" },
    { kind = "residual", layers = [{ kind = "dense", units = 5 }, { kind = "tanh" }, { kind = "batch-norm" }, { kind = "group-norm" }] }
"#;

const SERIES: &str = r#"
    { kind = "conv1d", channels = 4, padding = 2, kernel = 5 }, { kind = "gelu" },
    { kind = "max-pool", size = 2 },
    { kind = "residual", layers = [{ kind = "conv1d", channels = 5, stride = 2, padding = 1 }, { kind = "gelu" }, { kind = "batch-norm" }] },
    { kind = "gru", units = 4, sequence = true }, { kind = "group-norm", groups = 2 },
    { kind = "residual", layers = [{ kind = "gru", units = 4, sequence = true }] },
    { kind = "avg-pool", size = 2, stride = 1 },
    { kind = "gru", units = 3 }
"#;

#[test]
fn networks_that_have_all_kinds_of_layers_have_the_gradient_of_finite_differences() {
    for (list, shape) in [(PICTURES, &[12, 13][..]), (PICTURES, &[12, 13, 3]), (SERIES, &[13, 3])] {
        let model = network::classifier("layers", &layers(list), shape, 3).unwrap();
        assert_model_gradient(&model, &random_batch(shape, 3, 4));
    }
    let kinds = format!("{PICTURES}{SERIES}");
    for kind in Layer::KINDS {
        assert!(kinds.contains(&format!("\"{kind}\"")), "{kind} is in none of the two");
    }
}

/// Each for itself, so that an error says which it is.
#[test]
fn each_layer_has_the_gradient_of_finite_differences() {
    for (list, shape) in [
        (r#"{ kind = "dense", units = 4 }"#, &[6][..]),
        (r#"{ kind = "dense", units = 4 }, { kind = "relu" }"#, &[6]),
        (r#"{ kind = "dense", units = 4 }, { kind = "tanh" }"#, &[6]),
        (r#"{ kind = "dense", units = 4 }, { kind = "gelu" }"#, &[6]),
        (r#"{ kind = "dense", units = 4 }, { kind = "tanh" }, { kind = "batch-norm" }"#, &[6]),
        (r#"{ kind = "dense", units = 4 }, { kind = "group-norm", groups = 2 }"#, &[6]),
        (r#"{ kind = "conv2d", channels = 2, kernel = 2, stride = 2, padding = 1 }"#, &[5, 6, 2]),
        (r#"{ kind = "conv1d", channels = 2, kernel = 2, stride = 2, padding = 1 }"#, &[7, 2]),
        (r#"{ kind = "max-pool", size = 2 }, { kind = "conv2d", channels = 2 }"#, &[8, 9]),
        (r#"{ kind = "conv2d", channels = 2 }, { kind = "max-pool", size = 3, stride = 2 }"#, &[8, 9]),
        (r#"{ kind = "conv2d", channels = 2 }, { kind = "avg-pool" }"#, &[6, 5, 2]),
        (r#"{ kind = "conv1d", channels = 2 }, { kind = "max-pool" }"#, &[6, 5]),
        (r#"{ kind = "batch-norm" }, { kind = "conv2d", channels = 2 }"#, &[5, 6]),
        (r#"{ kind = "group-norm" }, { kind = "conv2d", channels = 2 }"#, &[5, 6]),
        (r#"{ kind = "tanh" }, { kind = "gru", units = 3 }"#, &[5, 6]),
        (r#"{ kind = "gru", units = 3, sequence = true }"#, &[4, 2]),
        (r#"{ kind = "residual", layers = [{ kind = "dense", units = 4 }, { kind = "relu" }] }"#, &[4]),
        (r#"{ kind = "residual", layers = [{ kind = "conv2d", channels = 2, stride = 3 }] }"#, &[9, 8]),
        (r#"{ kind = "residual", layers = [{ kind = "conv1d", channels = 2, kernel = 1 }] }"#, &[5, 2]),
        ("", &[2, 2, 3]),
    ] {
        println!("{list}");
        let model = network::classifier("layers", &layers(list), shape, 3).unwrap();
        assert_model_gradient(&model, &random_batch(shape, 3, 4));
    }
}

/// The networks that were written out before there were lists, bit by bit.
#[test]
fn a_list_is_the_network_that_somebody_wrote_out() {
    let cnn = r#"
        { kind = "conv2d", channels = 20, kernel = 5 }, { kind = "relu" }, { kind = "max-pool", size = 2 },
        { kind = "conv2d", channels = 50, kernel = 5 }, { kind = "max-pool", size = 2, stride = 2 }, { kind = "relu" },
        { kind = "flatten" }, { kind = "dense", units = 500 }, { kind = "relu" }
    "#;
    let dense = r#"{ kind = "flatten" }, { kind = "dense", units = 200 }, { kind = "relu" },
                   { kind = "dense", units = 200 }, { kind = "relu" }"#;
    let written: [(&str, &dyn Architecture); 2] = [(cnn, &CnnByzfl {}), (dense, &TwoNn {})];
    for (list, written) in written {
        let (shape, batch) = (&[17, 19], random_batch(&[17, 19], 3, 5));
        let [model, written] = [&Layers { layers: layers(list) } as &dyn Architecture, written]
            .map(|it| build(it, shape, 3).unwrap());
        let shapes =
            |model: &dyn Model| model.layout().entries().iter().map(|e| e.shape.clone()).collect::<Vec<_>>();
        assert_eq!(shapes(&*model), shapes(&*written));
        let parameters = written.initial(&mut Stream::seed_from_u64(1)).into_values();
        let of = |model: &dyn Model| {
            let (loss, gradient) = model.loss_and_gradient(&parameters, &batch).unwrap();
            (loss, gradient, model.representations(&parameters, &batch).unwrap())
        };
        assert_eq!(of(&*model), of(&*written));
    }
}

#[test]
fn shapes_follow_each_other_layer_by_layer() {
    let summary = Layers { layers: layers(PICTURES) }.summary(&[12, 13], 3).unwrap();
    let shapes: Vec<(&str, Option<&str>, &[usize])> =
        summary.iter().map(|it| (it.kind, it.name.as_deref(), &it.output[..])).collect();
    assert_eq!(
        shapes,
        [
            ("conv2d", Some("conv1"), &[12, 13, 4][..]),
            ("relu", None, &[12, 13, 4]),
            ("max-pool", None, &[6, 6, 4]),
            ("conv2d", Some("conv2"), &[3, 3, 4]),
            ("batch-norm", Some("bn1"), &[3, 3, 4]),
            ("gelu", None, &[3, 3, 4]),
            ("residual", Some("residual1"), &[2, 2, 6]),
            ("avg-pool", None, &[1, 1, 6]),
            ("flatten", None, &[6]),
            ("dense", Some("fc1"), &[7]),
            ("tanh", None, &[7]),
            ("residual", Some("residual2"), &[5]),
            ("dense", Some("head"), &[3]),
        ]
    );
    assert_eq!((summary[0].parameters, summary[0].multiply_adds), (40, 12 * 13 * 4 * 9));
    let model = build(&Layers { layers: layers(PICTURES) }, &[12, 13], 3).unwrap();
    let parameters: u64 = summary.iter().map(|it| it.parameters).sum();
    assert_eq!(parameters, model.layout().dimension() as u64);
    let names: Vec<_> = model.layout().entries().iter().map(|entry| &*entry.name).collect();
    for name in [
        "conv2.weight",
        "residual1.conv1.bias",
        "residual1.residual1.bn1.weight",
        "residual1.projection.weight",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(!names.contains(&"conv2.bias"));
    let series = Layers { layers: layers(SERIES) }.summary(&[13, 3], 3).unwrap();
    let shapes: Vec<_> = series.iter().map(|it| it.output.clone()).collect();
    let expected: [&[usize]; 10] =
        [&[13, 4], &[13, 4], &[6, 4], &[3, 5], &[3, 4], &[3, 4], &[3, 4], &[2, 4], &[3], &[3]];
    assert_eq!(shapes, expected);
}

#[test]
fn a_layer_that_does_not_fit_is_named_with_its_number_its_kind_and_what_to_do() {
    for (list, shape, expected) in [
        (
            r#"{ kind = "dense", units = 5 }, { kind = "max-pool", size = 2 }"#,
            &[30][..],
            "layers.1 (max-pool) takes pictures, but what comes in are values, [5]; put it before the layer that makes values",
        ),
        (
            r#"{ kind = "dense", units = 5 }"#,
            &[8, 8],
            "layers.0 (dense) takes values, but what comes in has shape [8, 8]; put a flatten",
        ),
        (
            r#"{ kind = "conv2d", channels = 1 }, { kind = "gru", units = 2 }"#,
            &[8, 8],
            "layers.1 (gru) takes series of steps",
        ),
        (
            r#"{ kind = "gru", units = 2, sequence = true }, { kind = "conv2d", channels = 1 }"#,
            &[8, 8],
            "layers.1 (conv2d) takes pictures, but what comes in is a series, [8, 2]",
        ),
        (
            r#"{ kind = "conv2d", channels = 1, kernel = 9 }"#,
            &[12, 8],
            "has windows of 9 columns, but what comes in has only 8",
        ),
        (r#"{ kind = "conv2d", channels = 0 }"#, &[8, 8], "has channels = 0"),
        (r#"{ kind = "conv2d", channels = 1, stride = 0 }"#, &[8, 8], "stride of 0; each must be at least 1"),
        (
            r#"{ kind = "conv1d", channels = 1, padding = 3 }"#,
            &[8, 8],
            "has padding = 3, which must be less than the kernel, 3",
        ),
        (r#"{ kind = "avg-pool", stride = 3 }"#, &[8, 8], "has a stride but no size"),
        (
            r#"{ kind = "group-norm", groups = 4 }"#,
            &[6],
            "groups = 4, which do not divide the 6 channels of [6]",
        ),
        (r#"{ kind = "gru", units = 0 }"#, &[6, 2], "layers.0 (gru) has units = 0"),
        (r#"{ kind = "residual", layers = [] }"#, &[6], "layers.0 (residual) has no layers"),
        (
            r#"{ kind = "relu" }, { kind = "residual", layers = [{ kind = "tanh" }, { kind = "gru", units = 2 }] }"#,
            &[6],
            "layers.1.layers.1 (gru) takes series",
        ),
        (
            r#"{ kind = "residual", layers = [{ kind = "conv2d", channels = 3, padding = 2 }] }"#,
            &[6, 6, 3],
            "layers.0 (residual) makes [8, 8, 3] of [6, 6, 3], to which it cannot be added",
        ),
        (r#"{ kind = "residual", layers = [{ kind = "flatten" }] }"#, &[6, 6, 3], "makes [108] of [6, 6, 3]"),
        (
            r#"{ kind = "dense", units = 3, name = "head" }"#,
            &[6],
            "has the name `head`, beside a layer called `head`",
        ),
        (
            r#"{ kind = "dense", units = 3, name = "a.b" }, { kind = "dense", units = 3, name = "a" }"#,
            &[6],
            "beside a layer called `a.b`",
        ),
        (
            r#"{ kind = "dense", units = 3, name = "fc2" }, { kind = "dense", units = 3 }"#,
            &[6],
            "layers.1 (dense) has the name `fc2`",
        ),
        (r#"{ kind = "dense", units = 3, name = "a b" }"#, &[6], "has the name `a b`, which must be"),
        (
            r#"{ kind = "dense", units = 4000000000 }"#,
            &[6],
            "has 28000000000 parameters, with which the model has more",
        ),
        (r#"{ kind = "gru", units = 4000000000 }"#, &[6, 6], "parameters, with which the model has more"),
        (
            r#"{ kind = "conv2d", channels = 4000000000, kernel = 4000000000, padding = 3999999999 }"#,
            &[6, 6],
            "parameters, with which",
        ),
        (
            r#"{ kind = "conv2d", channels = 1000000, kernel = 1 }"#,
            &[28, 28],
            "makes [28, 28, 1000000] of one example, more values",
        ),
        (
            "",
            &[1, 2, 3, 4],
            "model `layers` does not take examples of shape [1, 2, 3, 4]; it takes [features], ",
        ),
    ] {
        let error = refused(list, shape);
        assert!(error.contains(expected), "{list}: {error}");
        assert!(!error.contains('\n'));
    }
    let deep = (0..12).fold(r#"{ kind = "relu" }"#.to_owned(), |inner, _| {
        format!(r#"{{ kind = "residual", layers = [{inner}] }}"#)
    });
    assert!(refused(&deep, &[6]).contains("lies in more than 8 other residual layers"));
    let long = r#"{ kind = "relu" }, "#.repeat(1001);
    assert!(refused(&long, &[6]).contains("has 1001 layers, where at most 1000 can be"));
}

#[test]
fn a_layer_that_cannot_be_read_is_named_with_its_number_and_its_kind() {
    for (list, expected) in [
        (r#"{ kind = "conv3d" }"#, "layers.0 (conv3d): no kind of layer; known are `dense`, `conv2d`, "),
        (r#"{ kind = "relu" }, { channels = 3 }"#, "layers.1: has no `kind` in quotes; known are `dense`"),
        (r#"{ kind = "relu" }, "relu""#, "layers.1: expected a table with a `kind`"),
        (
            r#"{ kind = "max-pool", sise = 2 }"#,
            "layers.0 (max-pool): unknown field `sise`, expected `size` or `stride`",
        ),
        (r#"{ kind = "conv2d" }"#, "layers.0 (conv2d): missing field `channels`"),
        (r#"{ kind = "dense", units = -3 }"#, "layers.0 (dense): invalid value: integer `-3`, expected u32"),
        (r#"{ kind = "relu", slope = 0.1 }"#, "layers.0 (relu): unknown field `slope`"),
        (
            r#"{ kind = "residual", layers = [{ kind = "dense", unit = 3 }] }"#,
            "layers.0 (residual): layers.0 (dense): unknown field `unit`",
        ),
    ] {
        let error = read(&format!("layers = [{list}]")).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert!(read("").unwrap_err().contains("missing field `layers`"));
}

#[test]
fn a_list_is_written_with_every_setting_and_read_back() {
    for list in [PICTURES, SERIES] {
        let model = Layers { layers: layers(list) };
        let written = toml::Table::try_from(&model).unwrap();
        assert_eq!(read(&written.to_string()).unwrap(), model.layers);
    }
    let written =
        toml::Table::try_from(Layers { layers: layers(r#"{ kind = "conv2d", channels = 2 }"#) }).unwrap();
    let expected =
        "[[layers]]\nbias = true\nchannels = 2\nkernel = 3\nkind = \"conv2d\"\npadding = 0\nstride = 1";
    let (written, expected): (toml::Table, toml::Table) = (written, expected.parse().unwrap());
    assert_eq!(written, expected);
}

#[test]
fn layers_start_as_they_say() {
    let model = build(&Layers { layers: layers(PICTURES) }, &[12, 13], 3).unwrap();
    let parameters = model.initial(&mut Stream::seed_from_u64(1));
    for entry in model.layout().entries() {
        let values = &parameters.values()[entry.range()];
        let all = |expected: f32| values.iter().all(|value| *value == expected);
        let is_scale = entry.name.contains("bn") || entry.name.contains("gn");
        assert_eq!(all(0.0), entry.name.ends_with("bias"), "{}", entry.name);
        assert_eq!(all(1.0), is_scale && entry.name.ends_with("weight"), "{}", entry.name);
    }
    let gru = build(&GruClassifier { units: 16 }, &[5, 2], 3).unwrap();
    let values = gru.initial(&mut Stream::seed_from_u64(1)).into_values();
    let of_unit = &values[..16 * 3 * (2 + 16 + 2)];
    assert!(of_unit.iter().all(|value| *value != 0.0 && value.abs() <= 0.25));
}

#[test]
fn presets_are_the_lists_that_they_say() {
    let lenet = build(&LeNet5 {}, &[28, 28], 10).unwrap();
    assert_eq!(lenet.layout().dimension(), 61_706, "as in every account of it");
    let mlp = build(&Mlp::default(), &[28, 28], 10).unwrap();
    assert_eq!(mlp.layout().dimension(), 785 * 128 + 129 * 64 + 65 * 10);
    let gru = build(&GruClassifier::default(), &[28, 28], 10).unwrap();
    assert_eq!(gru.layout().dimension(), 192 * (28 + 64 + 2) + 65 * 10);
    let cnn = Cnn1d::default();
    let shapes: Vec<_> = cnn.summary(&[50, 6], 4).unwrap().into_iter().map(|it| it.output).collect();
    assert_eq!(
        shapes,
        [vec![50, 32], vec![50, 32], vec![25, 32], vec![25, 64], vec![25, 64], vec![64], vec![4]]
    );
    for preset in [&lenet, &mlp, &gru] {
        let batch = random_batch(&[28, 28], 10, 2);
        let parameters = preset.initial(&mut Stream::seed_from_u64(1)).into_values();
        assert!(preset.loss_and_gradient(&parameters, &batch).unwrap().0.is_finite());
    }
    let refused = build(&LeNet5 {}, &[30], 2).err().unwrap().to_string();
    assert!(
        refused.starts_with("layers.0 (conv2d) takes pictures, but what comes in are values, [30]"),
        "{refused}"
    );
}

/// The whole, step by step, as the definition has it: of one example and one unit.
#[test]
fn a_gru_is_the_one_that_is_computed_by_hand() {
    let model = build(&Layers { layers: layers(r#"{ kind = "gru", units = 1 }"#) }, &[2, 1], 2).unwrap();
    // Weights and biases of the gates reset, update and new; then those of the head.
    let parameters = [0.5, -0.3, 0.8, 0.2, 0.4, -0.6, 0.1, 0.0, -0.1, 0.05, 0.2, 0.3, 1.0, -1.0, 0.0, 0.0];
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut state = 0.0_f64;
    for x in [0.7_f64, -0.4] {
        let reset = sigmoid(0.5 * x + 0.1 + 0.2 * state + 0.05);
        let update = sigmoid(-0.3 * x + 0.4 * state + 0.2);
        let new = (0.8 * x - 0.1 + reset * (-0.6 * state + 0.3)).tanh();
        state = (1.0 - update) * new + update * state;
    }
    let batch = crate::data::Batch {
        features: crate::data::Features::Floats(vec![0.7, -0.4]),
        shape: vec![2, 1],
        labels: vec![0],
    };
    let logits = model.logits(&parameters, &batch).unwrap();
    assert!(
        (f64::from(logits[0]) - state).abs() < 1e-6 && (f64::from(logits[1]) + state).abs() < 1e-6,
        "{logits:?}"
    );
}
