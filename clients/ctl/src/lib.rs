//! liebrectl
