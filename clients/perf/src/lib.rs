//! liebre-perf
