//! Settings, from defaults, a file and the environment.
