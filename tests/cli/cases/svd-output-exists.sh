eckart svd A.npy --rank 2 -o out.npz -q >/dev/null && eckart svd A.npy --rank 2 -o out.npz
