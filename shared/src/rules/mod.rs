//! Byzantine-robust aggregation rules (paper section 2.2).
