"""systemd's journal, as journalctl tells of it."""
