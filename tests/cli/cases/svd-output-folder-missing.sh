eckart svd A.npy --rank 2 -o nowhere/out.npz
