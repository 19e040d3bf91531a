"""Do the rules and a language model read the same answers off?"""
