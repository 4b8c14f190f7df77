//! liebre-tutorials
