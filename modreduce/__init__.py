"""Online knowledge: students that learn from each other through an ensemble."""

from helper.registry import Registry

ensemble_dict = Registry(
    "modreduce",
    {
        "wavg": "wavg:WeightedAverage",
        "one": "one:Gate",
        "fc": "fc:FullyConnected",
        "pcl": "pcl:PeerCollaborative",
        "none": "online:OnlineMethod",
    },
)
