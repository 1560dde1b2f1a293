__version__ = "0.1.0"  # of the project: CMakeLists.txt
