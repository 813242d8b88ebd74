eckart svd A.npy --dtype bf16 -o out.npz
