# Times and machine are left out: what is tried, and where.
eckart bench model --shape '*=4' --include '*query' --rounds 3 --json |
    sed -E 's/"(milliseconds|low|high)": [0-9.e-]+/"\1": T/g; s/"(runtime_version|cpu)": "[^"]*"/"\1": "X"/; s/"threads": [0-9]+/"threads": N/'
