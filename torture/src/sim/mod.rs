//! The engine on a simulated disk and clock, beside a plain model, all from one seed.
