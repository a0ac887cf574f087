"""What can go wrong with a script before it is started."""


class ScriptError(ValueError):
    """A script's command or folder that cannot be used as asked; the message names the value and the fix."""
