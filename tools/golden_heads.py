"""Write the golden outputs of PSPNet, DANet, CCNet and DNLNet of a framework.

    /tmp/mmseg/bin/python tools/golden_heads.py mmseg
    /tmp/paddle/bin/python tools/golden_heads.py paddleseg

The interpreter is one of an environment with the framework; mmsegmentation's has gcseg on its path,
too. tests/golden has the rules by which parameters and images are drawn.
"""
