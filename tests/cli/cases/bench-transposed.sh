# Transposed convolutions are listed as all layers; times and machine are left out.
eckart bench rising.onnx --method tucker2 --rank-multiple 4 --min-size 1 --rounds 3 --json |
    sed -E 's/"(milliseconds|low|high)": [0-9.e-]+/"\1": T/g; s/"(runtime_version|cpu)": "[^"]*"/"\1": "X"/; s/"threads": [0-9]+/"threads": N/'
# Of the table: layer, method, rank, what is left, and that both times are above zero.
eckart bench rising.onnx --rank-multiple 4 --min-size 1 --rounds 3 -v |
    awk '$2 == "svd" { print $1, $2, $3, $4, ($5 > 0), ($6 > 0) } $1 == "dense" { print $1, $(NF - 2), $(NF - 1), $NF }'
