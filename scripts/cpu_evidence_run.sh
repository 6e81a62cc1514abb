#!/bin/sh
# One run of scripts/cpu_evidence.sh: ONLINE METHODS SEED [LABEL FLAGS...]; its results and flags end in $out.
set -eu
online=$1 methods=$2 seed=$3 label=${4:+${4}_}
name=${label}${online}_$(echo "$methods" | tr ',' '_')_seed_$seed
if [ $# -gt 3 ]; then shift 4; else shift 3; fi
[ "$online" = alone ] && name=alone_seed_$seed
[ -e "$out/$name.json" ] && exit 0
common="--train_size 10000 --epochs 6 --lr_decay_epochs 4,5 --data_folder $data --seed $seed --trial $seed --resume"
runs=$save/runs/$name
if [ "$online" = alone ]; then
    set -- train_teacher.py --model resnet8 $common
else
    crd=
    case $methods in *crd*) crd="--nce_k 2048" ;; esac
    set -- train_modreduce.py --path_t "$TEACHER" --model_s resnet8 --distill $(echo "$methods" | tr ',' ' ') \
        --online "$online" $crd $common "$@"
fi
echo "start  $name"
if ! "$python" "$@" --save_folder "$runs" >"$save/logs/$name.txt" 2>&1; then
    echo "FAILED $name: $(tail -n 1 "$save/logs/$name.txt")"
    exit 0
fi
result=$(find "$runs" -name results.json)
# folders of this machine are nobody else's business
sed -E 's#([" ])/[^" ]*/([^/" ]+)#\1\2#g' "$(dirname "$result")/args.json" >"$out/$name.args.json"
cp "$(dirname "$result")/metrics.csv" "$out/$name.metrics.csv"
cp "$result" "$out/$name.json"
echo "done   $name"
