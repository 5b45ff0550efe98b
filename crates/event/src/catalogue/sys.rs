//! Facility SYS: the box itself.

catalogue! {
    /// The box itself.
    Sys = "SYS";

    /// The configuration changed.
    #[action = "None."]
    5 CONFIG_I in Infra { by: String }
        "Configured from {by}";

    /// Session keys are written to a folder for packet analysis: whoever reads it reads the traffic.
    #[action = "Restart without `--keylog` outside of tests."]
    4 KEYLOG in Infra { folder: String }
        "Session keys are being written to {folder}";

    /// The program started.
    #[action = "None."]
    5 RESTART in Infra { version: String }
        "System restarted --\ngetvpn Software, Version {version}";
}
