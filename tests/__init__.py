"""The tests of modelfetch: units, wires, real clients, and the rules of the house."""
