"""The nodes, metadata and physics that the simulator tells about.

`HomeWorld` is one well-kept home, `FleetWorld` many sites with the disorder of real metadata.
"""





