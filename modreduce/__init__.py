"""Online knowledge: students that learn from each other through an ensemble."""

from helper.registry import Registry

ensemble_dict = Registry(
    "modreduce",
    {
        "wavg": "wavg:WeightedAverage",
        "mean": "mean:Mean",
        "one": "one:Gate",
        "fc": "fc:FullyConnected",
        "pcl": "pcl:PeerCollaborative",
        "dml": "dml:DeepMutualLearning",
        "kdcl": "kdcl:Collaborative",
        "okddip": "okddip:DiversePeers",
        "none": "online:OnlineMethod",
    },
)
