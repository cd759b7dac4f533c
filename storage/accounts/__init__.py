"""Who may use the screens: accounts, roles, sessions, one-time links, and what slows guessing down."""
