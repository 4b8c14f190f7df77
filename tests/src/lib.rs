//! liebre-tests
