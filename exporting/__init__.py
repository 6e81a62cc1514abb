"""Networks as other programs run them: exported to other formats, held to the original, and put to use.

Importing this package imports no torch, so that a command knows the formats at once.
"""

from helper.registry import Registry

# name: what writes and reads the format (`exporting.formats.Format`), in the order in which they are written
formats_dict = Registry(
    "exporting",
    {"safetensors": "weights:Safetensors", "pt2": "program:Program", "onnx": "onnx_file:Onnx"},
)
