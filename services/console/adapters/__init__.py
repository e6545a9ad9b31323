"""The console's ways out: the broker, the gateway, files, the editor, the terminal."""
