"""Plans a deployment: its kind and size, its latency and its cost, from measurements, a workload and a price list.

Nothing here calls the cloud. Imports run command → planner → simulation, cost → sizing → workload, performance, prices.
"""
