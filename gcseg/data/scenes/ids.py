"""Cityscapes label ids of the drawn classes (cityscapesScripts, helpers/labels.py)."""

EGO_VEHICLE = 1
OUT_OF_ROI = 3
STATIC = 4
ROAD = 7
SIDEWALK = 8
BUILDING = 11
POLE = 17
TRAFFIC_SIGN = 20
VEGETATION = 21
SKY = 23
PERSON = 24
CAR = 26
