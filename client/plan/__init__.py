"""How to deploy the worker, how fast it then is and what it costs: from a measurement, a load and a price list.

Nothing here asks a cloud. Arrows run command → choice → simulation, cost → sizing → load, worker, prices → files.
"""
