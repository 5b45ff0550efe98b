//! Facility SYS: the box itself.

catalogue! {
    /// The box itself.
    Sys = "SYS";

    /// The configuration changed.
    #[action = "None."]
    5 CONFIG_I in Infra { by: String }
        "Configured from {by}";

    /// The configuration can be obeyed, but this is probably not what was meant.
    #[action = "Read the line again; `getvpn check FILE` shows all of them."]
    4 CONFIG_WARNING in Infra { warning: String }
        "Configuration: {warning}";

    /// The packet path would not take what the machines gave it.
    #[action = "Report this: a policy that cannot be installed must be refused earlier."]
    2 DATAPLANE in Infra { reason: String }
        "The packet path refused an update: {reason}";

    /// Session keys are written to a folder for packet analysis: whoever reads it reads the traffic.
    #[action = "Restart without `--keylog` outside of tests."]
    4 KEYLOG in Infra { folder: String }
        "Session keys are being written to {folder}";

    /// The program started.
    #[action = "None."]
    5 RESTART in Infra { version: String }
        "System restarted --\ngetvpn Software, Version {version}";
}
