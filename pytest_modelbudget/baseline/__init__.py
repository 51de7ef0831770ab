"""The recorded profiles: the form of the files, and the folder that they are in."""
