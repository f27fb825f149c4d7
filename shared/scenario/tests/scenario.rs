//! Scenario files as users write them, good and bad.

use input::chosen::Chosen;
use scenario::Scenario;
use scenario::catalogue::Catalogue;

const MINIMAL: &str = "name = \"test\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 3\n";

const KRUM_FULL: &str = "[attack]\nkind = \"krum\"\nknowledge = \"full\"\n";

fn parse(more: &str, settings: &[&str]) -> Result<Scenario, String> {
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    Scenario::parse("s.toml", &format!("{MINIMAL}{more}"), &settings).map_err(|e| e.to_string())
}

#[test]
fn defaults_are_the_papers() {
    let scenario = parse("", &[]).unwrap();
    assert_eq!((scenario.fleet.devices, scenario.fleet.compromised), (100, 20));
    assert_eq!((scenario.aggregation.byzantine, scenario.fleet.selected), (20, 100));
    assert!(scenario.attack.kind.is_none() && scenario.defense.is_empty());
    let resolved = |settings: &[&str]| parse("", settings).unwrap().to_toml();
    let assert_has = |text: String, lines: &str| assert!(text.contains(lines), "{text}");
    assert_has(resolved(&[]), "[aggregation]\nrule = \"mean\"\nweighted = true\nbyzantine = 20\n");
    assert_has(resolved(&["aggregation.rule=trimmed-mean"]), "trim = 20\n");
    assert_has(resolved(&["attack.kind=krum"]), "epsilon = 0.01\n");
    assert_has(resolved(&["attack.kind=trimmed-mean"]), "spread = 2.0\n");
    let defense = "[[defense]]\nkind = \"err\"\nremove = 20\nties = \"drawn\"\nvalidation-examples = 100\n";
    assert_has(resolved(&["defense.kind=err"]), defense);
}

#[test]
fn a_key_belongs_to_what_is_chosen() {
    let refused = |more: &str, settings: &[&str]| parse(more, settings).unwrap_err();
    assert_eq!(
        refused("[aggregation]\nrule = \"median\"\ntheta = 3\n", &[]),
        "s.toml:7: the aggregation rule `median` has no `theta`, nor any other setting"
    );
    assert_eq!(
        refused("[attack]\nkind = \"krum\"\n", &["attack.spread=3"]),
        "--set attack.spread=3: the attack `krum` has no `spread`, but `direction`, `epsilon`, `goal`, \
         `knowledge`, `threshold`"
    );
    assert_eq!(
        refused("[[defense]]\nkind = \"err\"\n[[defense]]\nkind = \"lfr\"\ntrim = 1\n", &[]),
        "s.toml:9: the defense `lfr` has no `trim`, but `remove`, `ties`, `validation-examples`"
    );
    assert!(
        refused("[attack]\nspread = 3\n", &[])
            .starts_with("s.toml:6: without an attack there is no `spread`")
    );
    assert!(refused("", &["defense.remove=3"]).contains("without a defense there is no `remove`"));
    // One experiment has one digest, however it is written.
    let digest = |more: &str, settings: &[&str]| parse(more, settings).unwrap().digest();
    let defense = "kind = \"union\"\nremove = 20\n";
    let (table, list) = (format!("[defense]\n{defense}"), format!("[[defense]]\n{defense}"));
    assert_eq!(digest(&table, &[]), digest(&list, &[]));
    assert_eq!(digest(&table, &[]), digest("", &["defense.kind=union"]));
    assert_eq!(digest("", &["attack.kind=none", "attack.round-fraction=0.5"]), digest("", &[]));
}

#[test]
fn a_model_is_named_by_itself_or_in_a_table() {
    let table = |kind: &str| MINIMAL.replace("\"logistic-regression\"", &format!("{{ kind = \"{kind}\" }}"));
    let read = |text: &str, settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        Scenario::parse("s.toml", text, &settings).map_err(|error| error.to_string())
    };
    let dnn = parse("", &["model=dnn"]).unwrap();
    assert_eq!(dnn.model.name(), "dnn");
    assert!(dnn.to_toml().contains("\nmodel = \"dnn\"\n"), "{}", dnn.to_toml());
    for scenario in [
        read(&table("dnn"), &[]),
        read(&table("resnet20"), &["model=dnn"]),
        read(&table("resnet20"), &["model.kind=dnn"]),
        parse("", &["model.kind=dnn"]),
        parse("", &["model={ kind = \"dnn\" }"]),
    ] {
        assert_eq!(scenario.unwrap().digest(), dnn.digest());
    }
    let models = Catalogue::standard().models;
    let names: Vec<String> = models.entries().map(|entry| format!("`{}`", entry.name())).collect();
    let known = format!("unknown model `svm`; known are {}", names.join(", "));
    let refused = |text: &str, settings: &[&str]| read(text, settings).unwrap_err();
    assert_eq!(refused(&MINIMAL.replace("logistic-regression", "svm"), &[]), format!("s.toml:3: {known}"));
    assert_eq!(refused(&table("svm"), &[]), format!("s.toml:3: {known}"));
    assert_eq!(refused(MINIMAL, &["model=svm"]), format!("--set model=svm: {known}"));
    assert_eq!(refused(MINIMAL, &["model.kind=svm"]), format!("--set model.kind=svm: {known}"));
    let other = "unknown field `width`, expected one of `kind`, `weights`, `anew`, `frozen`";
    assert_eq!(refused(&table("dnn\", width = \"3"), &[]), format!("s.toml:3: {other}"));
    assert_eq!(
        refused(MINIMAL, &["model.kind=dnn", "model.width=3"]),
        format!("--set model.width=3: {other}")
    );
    let neither = "expected a name in quotes, or a table with a `kind` and settings";
    assert_eq!(
        refused("name = \"n\"\ndataset = \"mnist\"\nmodel = 3\n", &[]),
        format!("s.toml:3: {neither}")
    );
}

#[test]
fn a_data_set_is_a_name_or_a_table_with_a_kind() {
    let named = parse("", &[]).unwrap();
    assert!(named.to_toml().contains("\ndataset = \"mnist\"\n"), "{}", named.to_toml());
    let table = MINIMAL.replace("\"mnist\"", "{ kind = \"mnist\" }");
    let read = |text: &str, settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        Scenario::parse("s.toml", text, &settings).map_err(|error| error.to_string())
    };
    assert_eq!(read(&table, &[]).unwrap().digest(), named.digest());
    for settings in [["dataset=fashion-mnist"], ["dataset.kind=fashion-mnist"]] {
        assert_eq!(read(&table, &settings).unwrap().dataset.name(), "fashion-mnist");
    }
    let known = "known are `mnist`, `fashion-mnist`, `ch-mnist`, `breast-cancer`";
    for (text, settings, expected) in [
        (
            MINIMAL.replace("\"mnist\"", "\"MNIST\""),
            &[][..],
            format!("s.toml:2: unknown data set `MNIST`; {known}"),
        ),
        (MINIMAL.to_owned(), &["dataset=7"], format!("--set dataset=7: unknown data set `7`; {known}")),
        (
            MINIMAL.replace("\"mnist\"", "{ kind = \"mnist\", rows = 3 }"),
            &[],
            "s.toml:2: the data set `mnist` has no `rows`, nor any other setting".to_owned(),
        ),
        (MINIMAL.replace("\"mnist\"", "{ rows = 3 }"), &[], "s.toml:2: a table here has a `kind`".to_owned()),
        (
            MINIMAL.replace("\"mnist\"", "[3]"),
            &[],
            "s.toml:2: expected a name in quotes, or a table".to_owned(),
        ),
    ] {
        let error = read(&text, settings).unwrap_err();
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn a_partition_has_keys_of_its_own_in_the_table_of_the_fleet() {
    let fleet = |lines: &str, settings: &[&str]| parse(&format!("[fleet]\n{lines}\n"), settings);
    let resolved = |settings: &[&str]| fleet("non-iid = 0.1", settings).unwrap().to_toml();
    let groups = "[fleet]\ndevices = 100\ncompromised = 20\nnon-iid = 0.1\nselected = 100\n";
    assert!(resolved(&[]).contains(groups), "{}", resolved(&[]));
    let iid = "[fleet]\ndevices = 100\ncompromised = 20\npartition = \"iid\"\nselected = 100\n";
    assert!(resolved(&["fleet.partition=iid"]).contains(iid), "{}", resolved(&["fleet.partition=iid"]));
    assert_eq!(resolved(&["fleet.partition=label-groups"]), resolved(&[]));
    let refused = |lines: &str, settings: &[&str]| fleet(lines, settings).unwrap_err();
    assert_eq!(
        refused("partition = \"iid\"\nnon-iid = 0.1", &[]),
        "s.toml:7: the partition `iid` has no `non-iid`, nor any other setting"
    );
    assert_eq!(
        refused("", &["fleet.partition=zipf"]),
        "--set fleet.partition=zipf: unknown partition `zipf`; known are `label-groups`, `iid`, `dirichlet`, `shards`, \
         `similarity`, `quantity`, `groups`"
    );
    assert_eq!(
        refused("devcies = 3", &[]),
        "s.toml:6: unknown field `devcies`, expected one of `devices`, `compromised`, `partition`, `selected`, `non-iid`"
    );
    assert!(refused("", &["fleet.non-iid=much"]).starts_with("--set fleet.non-iid=much: "));
}

#[test]
fn shards_are_made_by_the_partition_and_its_settings() {
    let of_fleet = |settings: &[&str]| {
        let made_by = parse("", settings).unwrap().shard_settings();
        made_by.into_iter().filter(|(key, _)| key.starts_with("fleet.")).collect::<Vec<_>>()
    };
    let pairs = |pairs: [[&str; 2]; 2]| pairs.map(|[key, value]| (key.to_owned(), value.to_owned()));
    assert_eq!(of_fleet(&[]), pairs([["fleet.devices", "100"], ["fleet.non-iid", "0.5"]]));
    let iid = pairs([["fleet.devices", "100"], ["fleet.partition", "\"iid\""]]);
    assert_eq!(of_fleet(&["fleet.partition=iid"]), iid);
}

#[test]
fn the_stages_of_a_defense_act_one_after_the_other() {
    let two = "[[defense]]\nkind = \"err\"\nremove = 2\n[[defense]]\nkind = \"lfr\"\nremove = 3\n";
    let scenario = parse(two, &[]).unwrap();
    let names: Vec<&str> = scenario.defense.iter().map(Chosen::name).collect();
    assert_eq!(names, ["err", "lfr"]);
    assert_eq!(Scenario::parse("resolved", &scenario.to_toml(), &[]).unwrap(), scenario);
    let refused = parse(two, &["fleet.devices=45", "aggregation.rule=trimmed-mean"]).unwrap_err();
    assert!(refused.contains("of 45 updates the defense may remove 5"), "{refused}");
}

#[test]
fn a_resolved_scenario_reads_back_as_itself() {
    let scenario = parse("[attack]\nkind = \"gaussian\"\n", &["data.train-examples=6000"]).unwrap();
    assert_eq!(Scenario::parse("resolved", &scenario.to_toml(), &[]).unwrap(), scenario);
}

#[test]
fn what_training_and_optimizer_do_by_default_is_not_written_out() {
    let usual = parse("", &[]).unwrap().to_toml();
    assert!(
        usual.contains("[training]\nlearning-rate = 0.096\nbatch-size = 32\nlocal-steps = 1\n\n"),
        "{usual}"
    );
    assert!(!usual.contains("optimizer"), "{usual}");
    let more =
        "[training]\nweight-decay = 0.0\nmomentum = 0.0\nsend = \"model\"\n[optimizer]\nkind = \"none\"\n";
    assert_eq!(parse(more, &[]).unwrap().to_toml(), usual);
    let all = "[training]\nlearning-rate = 0.5\ndecay-every = 10\ndecay-factor = 0.5\nbatch-size = 25\n\
               local-epochs = 2\nweight-decay = 0.0001\nmomentum = 0.9\nsend = \"momentum\"\n";
    let optimizer = "[optimizer]\nkind = \"adam\"\nlearning-rate = 0.01\nmomentum = 0.9\nsecond-momentum = 0.99\ntau = 0.001\n";
    let resolved = parse(&format!("{all}[optimizer]\nkind = \"adam\"\n"), &[]).unwrap();
    assert!(resolved.to_toml().contains(all), "{}", resolved.to_toml());
    assert!(resolved.to_toml().contains(optimizer), "{}", resolved.to_toml());
    assert_eq!(Scenario::parse("s.toml", &resolved.to_toml(), &[]).unwrap().digest(), resolved.digest());
}

#[test]
fn a_setting_says_how_long_a_device_trains_in_steps_or_in_epochs() {
    let steps = "[training]\nlocal-steps = 5\n";
    let epochs = parse(steps, &["training.local-epochs=2"]).unwrap();
    assert_eq!((epochs.training.local_steps, epochs.training.local_epochs), (None, Some(2)));
    let back = Scenario::parse("s.toml", &epochs.to_toml(), &["training.local-steps=5".to_owned()]).unwrap();
    assert_eq!(back.digest(), parse(steps, &[]).unwrap().digest());
}

#[test]
fn settings_override_keys_and_need_no_quotes() {
    let scenario = parse("", &["aggregation.rule=median", "seed = 9", "training.learning-rate=1"]).unwrap();
    assert_eq!((scenario.aggregation.rule.to_string().as_str(), scenario.seed), ("median", 9));
    assert_eq!(scenario.training.learning_rate, 1.0);
}

#[test]
fn a_key_that_wants_text_gets_it_whatever_the_text_looks_like() {
    for name in ["2024", "1e5", "true", "1979-05-27"] {
        assert_eq!(parse("", &[&format!("name={name}")]).unwrap().name, name);
    }
    assert_eq!(parse("", &["name=\"quoted\""]).unwrap().name, "quoted");
    assert_eq!(parse("", &["seed=9223372036854775807"]).unwrap().seed, i64::MAX as u64);
}

#[test]
fn errors_name_file_line_key_and_setting() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("[fleet]\ndevcies = 3\n", &[], &["s.toml:6:", "`devcies`", "`devices`"]),
        ("[fleet\n", &[], &["s.toml:5:"]),
        ("[fleet]\ndevices = \"many\"\n", &[], &["s.toml:6:", "expected u32"]),
        ("", &["fleet.sizes=3"], &["--set fleet.sizes=3", "`sizes`"]),
        ("", &["fleet.devices"], &["--set fleet.devices:", "key=value"]),
        ("", &["name.part=1"], &["`name` is not a table"]),
        ("", &["fleet.non-iid=1.5"], &["fleet.non-iid", "between 0 and 1"]),
        ("", &["fleet.compromised=100"], &["fleet.compromised", "no benign"]),
        ("", &["training.learning-rate=nan"], &["training.learning-rate", "positive"]),
        ("", &["rounds=0"], &["rounds", "at least 1"]),
        ("", &["rounds=-1"], &["--set rounds=-1", "-1", "u32"]),
        ("", &["rounds=4294967296"], &["--set rounds=4294967296", "u32"]),
        ("", &["rounds=1.5"], &["--set rounds=1.5", "floating point", "u32"]),
        ("", &["rounds="], &["--set rounds=", "u32"]),
        ("", &["rounds=2\nseed = 3"], &["--set rounds=2", "u32"]),
        ("", &["=3"], &["--set =3", "unknown field"]),
        (
            "",
            &["seed=9223372036854775808"],
            &["seed", "9223372036854775808 is out of range", "9223372036854775807"],
        ),
        ("", &["seed=-9223372036854775809"], &["seed", "out of range"]),
        ("", &["seed=-1"], &["seed", "-1", "u64"]),
        ("seed = 18446744073709551615\n", &[], &["s.toml:5:"]),
        ("seed = \"1\"\n", &[], &["s.toml:5:", "u64"]),
        ("seed = 1\nseed = 2\n", &[], &["s.toml:6:", "duplicate key"]),
        ("[fleet]\ndevices = 3\n[fleet]\ncompromised = 0\n", &[], &["s.toml:7:", "duplicate key"]),
        ("", &["training.learning-rate=inf"], &["training.learning-rate", "positive"]),
        ("", &["training.learning-rate=1e39"], &["training.learning-rate", "32-bit float"]),
        ("", &["training.learning-rate=1e-60"], &["training.learning-rate", "32-bit float"]),
        ("", &["attack.kind=trimmed-mean", "attack.spread=1e300"], &["attack.spread", "32-bit float"]),
        ("", &["attack.kind=krum", "attack.epsilon=nan"], &["attack.epsilon", "at least 0"]),
        ("", &["fleet.non-iid=nan"], &["fleet.non-iid", "between 0 and 1"]),
        ("", &["attack.round-fraction=nan"], &["attack.round-fraction", "between 0 and 1"]),
        ("", &["timing.round-seconds=4294968"], &["timing.round-seconds", "4294968", "2592000"]),
        ("", &["timing.gather-seconds=4294967295"], &["timing.gather-seconds", "2592000"]),
        ("", &["aggregation.byzantine=101"], &["aggregation.byzantine", "101", "100"]),
        ("", &["name="], &["name", "1 to 64"]),
        ("", &["name=../escape"], &["name", "a-z"]),
        ("", &["name=a\u{1b}[2J"], &["name", "a-z"]),
        ("", &["dataset="], &["--set dataset=", "unknown data set", "`mnist`"]),
        ("", &["seed=1", "seed=2"], &["--set seed=2: `seed=1` sets seed already"]),
        (
            "",
            &["fleet={ devices = 40 }", "fleet.devices=50"],
            &["`fleet={ devices = 40 }` sets fleet.devices already"],
        ),
        ("", &["fleet.devices=50", "fleet={ devices = 40 }"], &["`fleet.devices=50` sets fleet already"]),
        ("", &["fleet.selected=101"], &["fleet.selected"]),
        ("", &["attack.kind=krumm"], &["--set attack.kind=krumm", "`krumm`", "`gaussian`"]),
        ("", &["name=A b"], &["name", "a-z"]),
        ("", &["data.train-examples=60001"], &["data.train-examples", "60001", "60000", "mnist"]),
        ("", &["fleet.devices=60001"], &["fleet.devices", "60001", "60000", "mnist"]),
        ("", &["data.train-examples=99"], &["data.train-examples", "99", "fleet.devices = 100"]),
        (
            "[attack]\nkind = \"back-gradient\"\n",
            &["dataset=breast-cancer"],
            &["attack.kind", "back-gradient", "the data set", "images"],
        ),
        // Krum with c >= (m-2)/2
        ("[aggregation]\nrule = \"krum\"\n", &["fleet.devices=42"], &["aggregation.rule", "42", "20"]),
        ("[aggregation]\nrule = \"trimmed-mean\"\n", &["aggregation.trim=50"], &["aggregation.rule", "50"]),
        // Bulyan with c > (m-3)/4, and more selected than m-2c
        ("[aggregation]\nrule = \"bulyan\"\n", &["fleet.devices=82"], &["aggregation.rule", "82", "20"]),
        (
            "[aggregation]\nrule = \"bulyan\"\n",
            &["aggregation.theta=61"],
            &["aggregation.rule", "theta", "61"],
        ),
        ("", &["attack.kind=krum", "attack.epsilon=-1"], &["attack.epsilon", "at least 0"]),
        ("", &["attack.kind=krum", "attack.threshold=0"], &["attack.threshold", "positive"]),
        ("", &["attack.round-fraction=1.5"], &["attack.round-fraction", "between 0 and 1"]),
        ("[attack]\nkind = \"krum\"\n", &["fleet.compromised=2"], &["fleet.compromised", "less than the 3"]),
        (KRUM_FULL, &["fleet.compromised=0"], &["fleet.compromised", "at least 1"]),
        (KRUM_FULL, &["aggregation.byzantine=49"], &["attack.kind", "krum needs", "49"]),
        ("[attack]\nkind = \"trimmed-mean\"\n", &["attack.goal=undirected"], &["attack.goal", "full"]),
        (
            "",
            &["defense.kind=err", "defense.validation-examples=0"],
            &["defense.validation-examples", "at least 1"],
        ),
        ("", &["defense.kind=lfr", "defense.remove=100"], &["defense.remove", "100 updates", "no updates"]),
        ("", &["defense.kind=best"], &["--set defense.kind=best", "`best`", "`union`"]),
    ];
    assert_refused(cases);
}

#[test]
fn errors_of_training_partitions_and_optimizers_name_the_key_and_a_remedy() {
    assert_refused(&[
        (
            "[training]\nlocal-steps = 2\nlocal-epochs = 1\n",
            &[],
            &["training.local-epochs", "training.local-steps", "leave one of them out"],
        ),
        ("", &["training.send=momentum"], &["training.send", "give training.momentum"]),
        ("", &["training.send=gradient"], &["--set training.send=gradient", "`momentum`"]),
        ("", &["training.decay-factor=0.1"], &["training.decay-factor", "give training.decay-every"]),
        ("", &["optimizer.momentum=0.5"], &["without an optimizer there is no `momentum`", "optimizer.kind"]),
        ("", &["optimizer.kind=momentum", "optimizer.momentum=1"], &["optimizer.momentum", "below 1"]),
        (
            "",
            &["optimizer.kind=momentum", "optimizer.tau=1"],
            &["`momentum` has no `tau`", "`learning-rate`"],
        ),
        ("", &["optimizer.kind=yogi"], &["unknown optimizer `yogi`", "`adam`"]),
        ("", &["fleet.partition=dirichlet", "fleet.alpha=0"], &["fleet.alpha", "positive"]),
        ("", &["fleet.partition=shards", "fleet.shards=0"], &["fleet.shards", "between 1 and 1000"]),
        ("", &["fleet.partition=similarity", "fleet.similarity=2"], &["fleet.similarity", "between 0 and 1"]),
    ]);
}

#[track_caller]
fn assert_refused(cases: &[(&str, &[&str], &[&str])]) {
    for (more, settings, expected) in cases {
        let error = parse(more, settings).expect_err(&format!("{more} {settings:?}"));
        assert!(!error.contains('\n'), "one line: {error}");
        for part in *expected {
            assert!(error.contains(part), "`{error}` lacks `{part}`");
        }
    }
}

#[test]
fn a_defense_must_leave_the_rule_enough_updates() {
    let trimmed_mean = |settings: &[&str]| parse("[aggregation]\nrule = \"trimmed-mean\"\n", settings);
    // 2 trim = 40 < devices that are left
    assert!(trimmed_mean(&["fleet.devices=61", "defense.kind=err"]).is_ok());
    let refused = trimmed_mean(&["fleet.devices=60", "defense.kind=err"]).unwrap_err();
    for part in ["defense.remove", "of 60 updates", "may remove 20", "trim = 20 and devices = 40"] {
        assert!(refused.contains(part), "`{refused}` lacks `{part}`");
    }
    assert!(trimmed_mean(&["fleet.devices=81", "defense.kind=union"]).is_ok());
    assert!(trimmed_mean(&["fleet.devices=80", "defense.kind=union"]).unwrap_err().contains("may remove 40"));
    assert!(trimmed_mean(&["fleet.devices=60", "defense.kind=none"]).is_ok());
    assert!(trimmed_mean(&["fleet.devices=60", "defense.kind=union", "defense.remove=0"]).is_ok());
    assert!(parse("", &["defense.kind=union", "defense.remove=50"]).is_err(), "nothing is left");
}

#[test]
fn attackers_are_a_seeded_draw_over_the_whole_fleet() {
    let scenario = parse("[attack]\nkind = \"gaussian\"\n", &[]).unwrap();
    let attackers = scenario.attackers();
    assert_eq!(attackers.len(), 20);
    assert_eq!(attackers, scenario.attackers());
    assert!(attackers.iter().any(|id| id.0 >= 50), "not the first devices: {attackers:?}");
    let other = parse("[attack]\nkind = \"gaussian\"\n", &["seed=2"]).unwrap();
    assert_ne!(attackers, other.attackers());
    assert!(parse("", &[]).unwrap().attackers().is_empty(), "no attack, no attackers");
}

#[test]
fn a_subset_is_drawn_anew_each_round() {
    let scenario = parse("", &["fleet.selected=30", "aggregation.byzantine=3"]).unwrap();
    assert_eq!(scenario.selection(1).len(), 30);
    assert_eq!(scenario.selection(1), scenario.selection(1));
    assert_ne!(scenario.selection(1), scenario.selection(2));
}

#[test]
fn the_attacked_rounds_are_a_seeded_share_of_all() {
    let attacked = |settings: &[&str]| -> Vec<u32> {
        let rounds = parse("", settings).unwrap().attack_rounds();
        (1..=1000).filter(|&round| rounds.contains(round)).collect()
    };
    assert_eq!(attacked(&[]).len(), 1000);
    assert!(attacked(&["attack.round-fraction=0"]).is_empty());
    let some = attacked(&["attack.round-fraction=0.3"]);
    assert!((250..350).contains(&some.len()), "{}", some.len());
    assert_eq!(some, attacked(&["attack.round-fraction=0.3"]));
    assert_ne!(some, attacked(&["attack.round-fraction=0.3", "seed=2"]));
}
