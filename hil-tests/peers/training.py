"""Loss and gradient of a batch of 32 on one thread: CPU time and peak memory of a process that does nothing else."""

import json
import statistics
import sys
import time

import programs

MODELS = {"logistic-regression": (28, 10), "dnn": (28, 10), "resnet20": (64, 8)}


def print_table(arguments):
    program = programs.build_bench()
    torch = programs.installed({"torch": ["torch"]}, arguments)
    columns = ["model", "Outpost, ms", "peak MiB"]
    programs.head(*columns, *(["torch, ms", "peak MiB", "Outpost / torch"] if torch else []))
    for model in MODELS:
        cells = []
        # In turns: a machine that is slow for a while is slow for both.
        ours, theirs = [], []
        for _ in range(3):
            rows, memory = programs.bench(program, model, "step")
            ours.append((rows[0][1][0], memory))
            if torch:
                output, usage = programs.run([sys.executable, __file__, model], **programs.ONE_THREAD)
                theirs.append((json.loads(output), usage["memory"]))
        for times in filter(None, (ours, theirs)):
            cells += [statistics.median(time for time, _ in times), max(memory for _, memory in times)]
        texts = [f"{time:.2f}" if index % 2 == 0 else f"{time:.0f}" for index, time in enumerate(cells)]
        programs.row(model, *texts, *([f"**{cells[0] / cells[2]:.2f}**"] if torch else []))


def torch_step(name):
    """Prints the milliseconds of a step of torch."""
    import torch
    from torch import nn
    torch.set_num_threads(1)
    torch.manual_seed(1)
    side, classes = MODELS[name]
    model = {"logistic-regression": logistic_regression, "dnn": dnn, "resnet20": ResNet20}[name](nn, classes)
    features, labels = torch.rand(32, 1, side, side), torch.arange(32) % classes
    times, begun = [], time.perf_counter()
    while len(times) < 8 or time.perf_counter() - begun < 1.5:
        before = time.process_time()
        model.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(features), labels).backward()
        times.append(1e3 * (time.process_time() - before))
    print(json.dumps(statistics.median(times[2:])))


def logistic_regression(nn, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, classes))


def dnn(nn, classes):
    """The paper's Table 7a."""
    convolutions = [nn.Conv2d(1, 30, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(30, 50, 3), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(50 * 25, 200), nn.ReLU(), nn.Linear(200, classes))


def ResNet20(nn, classes):
    """He et al. 2016, section 4.2, with shortcuts of option A, as in `learning::models`."""
    import torch

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.stride, self.added = stride, outputs - inputs
            self.body = nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
                nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))

        def forward(self, x):
            shortcut = x[:, :, ::self.stride, ::self.stride]
            return torch.relu(self.body(x) + nn.functional.pad(shortcut, (0, 0, 0, 0, 0, self.added)))

    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    blocks = [Block(a, b, 1 if a == b else 2) for a, b in zip(widths, widths[1:])]
    stem = [nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


if __name__ == "__main__":
    torch_step(sys.argv[1])
