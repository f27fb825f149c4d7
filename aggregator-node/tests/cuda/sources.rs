//! The kernels' text, compiled by NVRTC, which needs no GPU.

use aggregator_node::cuda::{Program, Statistic};

/// All programs for numbers of rows that are sorted in registers, and in shared memory.
fn programs() -> impl Iterator<Item = Program> {
    [1, 2, 3, 10, 100, 128, 129, 1_024].into_iter().flat_map(|rows| {
        let trim = (rows - 1) / 5;
        let statistics = [
            Statistic::Mean,
            Statistic::Median,
            Statistic::TrimmedMean { trim },
            Statistic::MeanAroundMedian { count: rows - 2 * trim },
            Statistic::Distances,
        ];
        let both =
            move |statistic| [false, true].map(|leave_one_out| Program { statistic, rows, leave_one_out });
        statistics.into_iter().flat_map(both).filter(|program: &Program| {
            !program.leave_one_out
                || program.rows > 1
                    && !matches!(program.statistic, Statistic::MeanAroundMedian { .. } | Statistic::Distances)
        })
    })
}

#[test]
fn every_program_compiles_for_a_gpu() {
    if !aggregator_node::cuda::has_compiler() {
        link::skipped("nvrtc", "libnvrtc.so is not installed");
        return;
    }
    for program in programs() {
        let ptx = aggregator_node::cuda::compile(program, "compute_80").unwrap();
        assert!(ptx.contains(".entry"), "{program:?}");
    }
}
