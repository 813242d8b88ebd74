eckart tensor tucker A.npy --ranks 2,2 --sweeps 0 -o core.npz -q | sed 's/^\(time *\).*/\1-/'
