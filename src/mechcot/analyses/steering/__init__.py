"""Does putting hedging back change what is claimed?"""
