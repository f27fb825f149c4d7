"""Federated learning in one process: rounds per CPU second, and the time and memory of the paper's Table 2a."""

import gzip
import json
import sys
import tempfile
import time

import programs

DEVICES, BYZANTINE, BATCH, RATE = 100, 20, 32, 0.1
RULES = ["trimmed-mean", "krum"]
SCENARIO = f"""
name = "performance"
dataset = "mnist"
model = "logistic-regression"
rounds = 1
training.learning-rate = {RATE}
training.batch-size = {BATCH}
fleet.devices = {DEVICES}
fleet.compromised = {BYZANTINE}
fleet.non-iid = 0.1
evaluation.every = 1000000
"""


def print_table(arguments):
    program = programs.build()
    there = programs.installed({"torch, batched": ["numpy", "torch"], "ByzFL": ["numpy", "torch", "byzfl"]}, arguments)
    print(f"MNIST, logistic regression, {DEVICES} devices, batch {BATCH}, one thread:\n")
    programs.head("rule", "program", "rounds", "rounds per CPU second", "peak MiB", "test error")
    for rule in RULES:
        programs.row(rule, "Outpost", arguments.rounds, *ours(program, rule, arguments.rounds))
        # ByzFL takes its time.
        peers = {"torch, batched": arguments.rounds, "ByzFL": max(arguments.rounds // 25, 10)}
        for peer, rounds in ((peer, peers[peer]) for peer in there):
            command = [sys.executable, __file__, peer, rule, str(rounds)]
            output, usage = programs.run(command, **programs.ONE_THREAD)
            speed, error = json.loads(output.splitlines()[-1])
            programs.row(rule, peer, rounds, f"{speed:.1f}", f"{usage['memory']:.0f}", f"{error:.3f}")
    with tempfile.TemporaryDirectory() as out:
        _, usage = programs.run([program, "paper", "table2a", "--seeds", "1", "--out", out])
    print("\nThe paper's Table 2a, 15 cells of 500 rounds, one seed, all cores:\n")
    programs.head("program", "seconds", "CPU seconds", "peak MiB")
    programs.row("Outpost", *(f"{usage[key]:.0f}" for key in ("wall", "cpu", "memory")))


def ours(program, rule, rounds):
    """What `rounds` rounds take beyond one: start and reading of the data are in both."""
    with tempfile.TemporaryDirectory() as out:
        file = f"{out}/scenario.toml"
        with open(file, "w") as scenario:
            scenario.write(SCENARIO)

        def measure(count):
            command = [program, "run", file, "--on", "software", "--format", "json", "--out", f"{out}/{count}"]
            command += ["--set", f"rounds={count}", "--set", f"aggregation.rule={rule}"]
            output, usage = programs.run(command, **programs.ONE_THREAD)
            return usage["cpu"], usage["memory"], json.loads(output)["final_test_error"]

        (one, _, _), (all_of_them, memory, error) = measure(1), measure(rounds + 1)
    return f"**{rounds / (all_of_them - one):.1f}**", f"{memory:.0f}", f"{error:.3f}"


def mnist():
    """Training and test pictures and labels, from the repository."""
    import numpy
    import torch

    def read(name, header):
        with gzip.open(programs.ROOT / "datasets/mnist" / name) as file:
            return torch.tensor(numpy.frombuffer(file.read(), numpy.uint8, offset=header).copy())

    return [part for kind in ("train", "t10k") for part in (
        read(f"{kind}-images-idx3-ubyte.gz", 16).reshape(-1, 784).float() / 255,
        read(f"{kind}-labels-idx1-ubyte.gz", 8).long())]


def batched(rule, rounds):
    """Plain torch: the gradients of all honest devices in one product, the others send the mean turned round."""
    import torch
    honest = DEVICES - BYZANTINE
    features, labels, test_features, test_labels = mnist()
    shards = torch.randperm(len(features))[:len(features) // honest * honest].view(honest, -1)
    weights, bias = torch.zeros(10, 784), torch.zeros(10)

    def aggregate(updates):
        if rule == "trimmed-mean":
            columns = updates.t().contiguous().numpy()
            columns.sort(1)
            return torch.from_numpy(columns[:, BYZANTINE:DEVICES - BYZANTINE].mean(1))
        products = updates @ updates.t()
        norms = products.diagonal()
        distances = (norms[:, None] + norms[None] - 2 * products).fill_diagonal_(0)
        return updates[distances.topk(DEVICES - BYZANTINE - 1, largest=False)[0].sum(1).argmin()]

    begun = time.process_time()
    for _ in range(rounds):
        drawn = shards.gather(1, torch.randint(shards.shape[1], (honest, BATCH)))
        pictures = features[drawn]
        errors = torch.softmax(pictures @ weights.t() + bias, 2)
        errors[torch.arange(honest)[:, None], torch.arange(BATCH), labels[drawn]] -= 1
        gradients = torch.bmm(errors.transpose(1, 2), pictures).reshape(honest, -1)
        updates = torch.cat([gradients, errors.sum(1)], 1) / BATCH
        update = aggregate(torch.cat([updates, -updates.mean(0).expand(BYZANTINE, -1)]))
        weights -= RATE * update[:7840].view(10, 784)
        bias -= RATE * update[7840:]
    taken = time.process_time() - begun
    wrong = (test_features @ weights.t() + bias).argmax(1) != test_labels
    return rounds / taken, wrong.float().mean().item()


def byzfl(rule, rounds):
    """ByzFL's clients and server, put together as its own benchmark does."""
    import torch
    from byzfl import ByzantineClient, Client, DataDistributor, Server
    from torch.utils.data import DataLoader, Subset, TensorDataset
    honest = DEVICES - BYZANTINE
    features, labels, test_features, test_labels = mnist()
    train = TensorDataset(features, labels)
    train.targets = labels
    train = Subset(train, list(range(len(labels))))
    test = DataLoader(TensorDataset(test_features, test_labels), batch_size=500)
    shards = DataDistributor(dict(
        data_distribution_name="iid", distribution_parameter=0.0, nb_honest=honest, data_loader=train, batch_size=BATCH)).split_data()
    both = dict(model_name="logreg_mnist", device="cpu", optimizer_name="SGD", learning_rate=RATE, weight_decay=0.0, milestones=[],
                learning_rate_decay=1.0)
    alone = dict(both, loss_name="CrossEntropyLoss", LabelFlipping=False, momentum=0.0, nb_labels=10, store_per_client_metrics=False)
    clients = [Client(dict(alone, training_dataloader=shard)) for shard in shards]
    name = {"trimmed-mean": "TrMean", "krum": "Krum"}[rule]
    server = Server(dict(both, test_loader=test, aggregator_info=dict(name=name, parameters=dict(f=BYZANTINE)), pre_agg_list=[]))
    attack = ByzantineClient(dict(name="SignFlipping", f=BYZANTINE, parameters={}))
    begun = time.process_time()
    for _ in range(rounds):
        state = server.get_dict_parameters()
        for client in clients:
            client.set_model_state(state)
            client.compute_gradients()
        gradients = [client.get_flat_gradients_with_momentum() for client in clients]
        server.update_model_with_gradients(gradients + attack.apply_attack(gradients))
    taken = time.process_time() - begun
    return rounds / taken, 1 - float(server.compute_test_accuracy())


if __name__ == "__main__":
    import torch
    torch.set_num_threads(1)
    print(json.dumps({"torch, batched": batched, "ByzFL": byzfl}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))))
